"""The mixer: one picture, any number of objects, and a gain for each of them and for the rest.

    svdaudio mix farm.jpg --object cat=756,581 --object dog=300,450 --gain cat=-inf --gain dog=+3

Three forms, which are other nodes: `fade` makes one sound from the picture with its objects faded; `clap` mixes the
embeddings of the objects, each by itself; `stems` makes a sound of each object and of the rest, and adds them up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import ValidationInfo, field_validator

from svdaudio.config import OBJECT_EXPECTED, Number, Objects, Section, parameter
from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.method import ConfiguredFile, Method
from svdaudio.engine.stage import Node, Nodes, by_name
from svdaudio.errors import ConfigError
from svdaudio.methods.fading import FadeConfig, alone, blended, detected_classes, faded, gains_parameter
from svdaudio.methods.parts import (
    PICTURE,
    check_clicks,
    check_generator,
    chosen,
    finish,
    generate,
    look_at,
    mask_files,
    score,
    scores_of,
    segment_object,
    sounds_of,
    synthesize,
    targets_of,
)
from svdaudio.methods.stages import GAIN, HUSH, LEVEL, MASTER, MIXDOWN
from svdaudio.mixing.levels import REST, SILENCE, Gain
from svdaudio.verdicts import Finding, Wanted, class_of, heard, untold
from svdaudio.views.stages import stage_views

ORIGINAL = "original"
MIX = "mix"
RESERVED = (ORIGINAL, MIX, REST, "without", "all")
"""Names that no object may have."""


class MasterConfig(Section):
    """The sum of the stems as a whole."""

    loudness_lufs: Number | None = parameter(
        None,
        "integrated loudness of the sum of the stems, in LUFS; without it the sum is left as it is",
        "a number from -70 to 0",
        ge=-70,
        le=0,
    )


class MixerConfig(FadeConfig):
    """Parameters of the mixer."""

    form: Literal["fade", "clap", "stems"] = parameter(
        "fade", "fade objects in the picture, mix their embeddings, or add their sounds", '"fade", "clap" or "stems"'
    )
    objects: Objects = parameter({}, "the objects, by name", f"NAME = {OBJECT_EXPECTED}", is_table=True)
    gains: dict[str, Gain] = gains_parameter("gain of each object and of the rest, in dB")
    master: MasterConfig = MasterConfig()

    @field_validator("objects")
    @classmethod
    def _free_names(cls, objects: dict[str, Any]) -> dict[str, Any]:
        for name in objects:
            if name in RESERVED:
                raise ConfigError(f"an object cannot be called '{name}'", fix="give it another name")
        return objects

    @field_validator("gains")
    @classmethod
    def _complete_gains(cls, gains: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """The gain of every object and of the rest, 0 dB unless given."""
        names = [*info.data.get("objects", {}), REST]
        for name in gains:
            if name not in names:
                raise ConfigError(f"there is no object '{name}'", expected=" or ".join(names), got=f"a gain for {name}")
        return {name: gains.get(name, 0.0) for name in names}


def nodes(config: MixerConfig) -> Nodes:
    """The picture and its plain sound, the objects' masks, and the mix in the chosen form."""
    objects = [
        node
        for name, prompt in config.objects.items()
        for node in segment_object(name, picture=ORIGINAL, prompt=prompt, name=f"objects.{name}")
    ]
    plain = synthesize(
        ORIGINAL, config, embedding=f"{ORIGINAL}.tokens.embedding", objects=f"{ORIGINAL}.locals.embeddings"
    )
    masks = {name: f"{name}.mask.mask" for name in config.objects}
    mix: Iterable[Node] = ()
    if config.objects:
        forms = {"fade": faded, "clap": blended}
        fading = forms.get(config.form)
        mix = fading(MIX, ORIGINAL, masks, config.gains, config) if fading else stems(ORIGINAL, masks, config)
    return by_name((*look_at(ORIGINAL), *objects, *plain, *mix))


def stems(picture: str, masks: Mapping[str, str], config: MixerConfig) -> Iterable[Node]:
    """A sound of each object and of the rest, at its gain, and their sum: `mix.mixdown`.

    Args:
        picture: group of the nodes that looked at it.
        masks: object → `node.output` of its mask.
        config: gains, and which nodes there are.
    """
    for name in config.gains:
        yield from alone(name, picture, masks)
        yield from generate(name, config, clap=f"{name}.remix.clap")
        waveform = chosen(name, config)
        if name == REST and config.rest == "detected":
            inputs = {"waveform": waveform, "embeddings": f"{name}.keep.embeddings"}
            yield Node(name=f"{name}.hush", stage=HUSH, inputs=inputs)
            waveform = f"{name}.hush.waveform"
        yield score(name, waveform=waveform)
        yield from (finished := [*finish(name, config, waveform=waveform)])
        yield Node(
            name=f"{name}.gain",
            stage=GAIN,
            inputs={"waveform": f"{name}.finish.waveform" if finished else waveform},
            parameters={"gain_db": f"gains.{name}"},
        )
    waveforms = {f"waveforms.{name}": f"{name}.gain.waveform" for name in config.gains}
    if config.master.loudness_lufs is not None:
        yield Node(name=f"{MIX}.master", stage=MASTER, inputs=waveforms)
        for name in config.gains:
            level = {"waveform": f"{name}.gain.waveform", "gain_db": f"{MIX}.master.gain_db"}
            yield Node(name=f"{name}.level", stage=LEVEL, inputs=level)
    waveforms = {f"waveforms.{name}": source for name, source in _stem_sources(config).items()}
    yield Node(name=f"{MIX}.mixdown", stage=MIXDOWN, inputs=waveforms)
    yield score(MIX, waveform=f"{MIX}.mixdown.waveform")


def _stem_sources(config: MixerConfig) -> dict[str, str]:
    """Stem → `node.output` of what is added up."""
    last = "gain" if config.master.loudness_lufs is None else "level"
    return {name: f"{name}.{last}.waveform" for name in config.gains}


def targets(config: MixerConfig) -> tuple[str, ...]:
    """The masks, the mix, then each stem, then the plain sound.

    Raises:
        ConfigError: there is no object to mix.
    """
    if not config.objects:
        raise ConfigError("there is no object to mix", fix=f"give --object NAME=PROMPT, which is {OBJECT_EXPECTED}")
    masks = tuple(f"{name}.mask" for name in config.objects)
    if config.form != "stems":
        return (*masks, *targets_of(config, (MIX, ORIGINAL)))
    stem_scores = tuple(f"{name}.scores" for name in config.gains)
    return (*masks, f"{MIX}.scores", *stem_scores, *targets_of(config, [ORIGINAL]))


def configured_files(config: MixerConfig) -> Mapping[str, ConfiguredFile]:
    """The mask files of the objects."""
    return mask_files(config.objects, "objects")


def sounds(config: MixerConfig) -> Mapping[str, str]:
    """The plain sound, the mix, and the stems at their gains."""
    if config.form != "stems":
        return sounds_of(config, (ORIGINAL, MIX))
    return {**sounds_of(config, [ORIGINAL]), MIX: f"{MIX}.mixdown.waveform", **_stem_sources(config)}


def scores(config: MixerConfig) -> Mapping[str, str]:
    """The scores of each sound; those of a stem are of it at 0 dB."""
    return scores_of((ORIGINAL, MIX, *stem_names(config)))


def stem_names(config: MixerConfig) -> tuple[str, ...]:
    """The sounds that add up to the mix."""
    return tuple(config.gains) if config.form == "stems" else ()


def verdict(arrays: RunArrays) -> list[Finding]:
    """What was to happen to each object, and whether it did, by the scores of the plain sound and of the mix."""
    found = arrays.scores()
    if MIX not in found or ORIGINAL not in found:
        return []
    before, after, gains = found[ORIGINAL], found[MIX], arrays.config.gains
    detected = detected_classes(arrays, ORIGINAL, {name: f"{name}.mask" for name in arrays.config.objects})
    classes = {name: class_of(name, before, detected.get(name, ())) for name in arrays.config.objects}
    findings: list[Finding] = []
    for name, class_name in classes.items():
        wanted = wanted_of(gains[name])
        others = [one for one in classes if one != name and classes[one] == class_name and gains[one] != gains[name]]
        if class_name is None:
            findings.append(untold(name, wanted, "no class of the tagger tells about it"))
        elif others:
            findings.append(untold(name, wanted, f"the scores cannot tell it from {others[0]}, also a {class_name}"))
        else:
            findings.append(
                heard(name, before=before[class_name], after=after[class_name], wanted=wanted, class_name=class_name)
            )
    return findings


def wanted_of(gain_db: float | str) -> Wanted:
    """What a gain is to do."""
    if gain_db == SILENCE:
        return "silenced"
    return "level" if not float(gain_db) else "raised" if float(gain_db) > 0 else "faded"


METHOD = Method(
    name="mixer",
    summary="a gain for each object of a picture",
    files={ORIGINAL: PICTURE},
    config=MixerConfig,
    nodes=nodes,
    targets=targets,
    configured_files=configured_files,
    sounds=sounds,
    scores=scores,
    result=MIX,
    stems=stem_names,
    checks=(check_clicks, check_generator),
    views=stage_views,
    verdict=verdict,
)
