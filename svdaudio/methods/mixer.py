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
from svdaudio.methods.parts import (
    PICTURE,
    SoundConfig,
    check_clicks,
    check_generator,
    chosen,
    finish,
    generate,
    look_at,
    mask_files,
    render,
    score,
    scores_of,
    segment_object,
    sounds_of,
    synthesize,
    targets_of,
)
from svdaudio.methods.stages import (
    BLEND,
    CROP,
    EMBED,
    ERASE,
    FADE,
    GAIN,
    HUSH,
    KEEP,
    LEVEL,
    MASTER,
    MIXDOWN,
    REMAINDER,
    REMIX,
    UNITE,
)
from svdaudio.mixing.levels import GAIN_EXPECTED, REST, SILENCE, Gain, levels, vertices
from svdaudio.mixing.owners import owners
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


class MixerConfig(SoundConfig):
    """Parameters of the mixer."""

    form: Literal["fade", "clap", "stems"] = parameter(
        "fade", "fade objects in the picture, mix their embeddings, or add their sounds", '"fade", "clap" or "stems"'
    )
    objects: Objects = parameter({}, "the objects, by name", f"NAME = {OBJECT_EXPECTED}", is_table=True)
    gains: dict[str, Gain] = parameter(
        {}, "gain of each object and of the rest, in dB", GAIN_EXPECTED, is_table=True, validate_default=True
    )
    rest: Literal["detected", "always"] = parameter(
        "always",
        "whether the rest of the picture sounds always, or only with a detected object in it",
        '"detected" or "always"',
    )
    master: MasterConfig = MasterConfig()
    margin: Number = parameter(
        0.01,
        "how far around an object the picture is erased, too, as a share of its longer side",
        "a number from 0 to 0.5",
        (0.005, 0.05),
        ge=0,
        le=0.5,
    )

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
    forms = {"fade": faded, "clap": blended, "stems": stems}
    masks = {name: f"{name}.mask.mask" for name in config.objects}
    mix = forms[config.form](ORIGINAL, masks, config) if config.objects else ()
    return by_name((*look_at(ORIGINAL), *objects, *plain, *mix))


def faded(picture: str, masks: Mapping[str, str], config: MixerConfig) -> Iterable[Node]:
    """One sound, from the embeddings of the picture without some of its objects: `mix.fade` to `mix.scores`.

    Args:
        picture: group of the nodes that looked at it, of which `<picture>.remix` is the whole picture's embedding.
        masks: object → `node.output` of its mask.
        config: gains, and which nodes there are.
    """
    claps: dict[str, str] = {}
    nested = vertices(config.gains)
    if any(REST in vertex.absent for vertex in nested):
        yield Node(name=f"{REST}.mask", stage=REMAINDER, inputs={f"masks.{name}": one for name, one in masks.items()})
    for vertex in nested:
        group = f"without.{vertex.label}" if vertex.absent else picture
        claps[f"claps.{vertex.label}"] = f"{group}.remix.clap"
        if vertex.absent:
            yield from _without(vertex.absent, picture, masks, group=group)
    yield Node(name=f"{MIX}.fade", stage=FADE, inputs=claps)
    yield from render(MIX, config, clap=f"{MIX}.fade.clap")


def blended(picture: str, masks: Mapping[str, str], config: MixerConfig) -> Iterable[Node]:
    """One sound, from the embeddings of the objects by themselves: `mix.blend` to `mix.scores`. Arguments as above.

    The rest is one of them only if it always sounds.
    """
    heard = [
        name for name, level in levels(config.gains).items() if level and (name != REST or config.rest == "always")
    ]
    for name in heard:
        yield from _alone(name, picture, masks)
    yield Node(name=f"{MIX}.blend", stage=BLEND, inputs={f"claps.{name}": f"{name}.remix.clap" for name in heard})
    yield from render(MIX, config, clap=f"{MIX}.blend.clap")


def stems(picture: str, masks: Mapping[str, str], config: MixerConfig) -> Iterable[Node]:
    """A sound of each object and of the rest, at its gain, and their sum: `mix.mixdown`. Arguments as above."""
    for name in config.gains:
        yield from _alone(name, picture, masks)
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


def _alone(name: str, picture: str, masks: Mapping[str, str]) -> Iterable[Node]:
    """The CLAP embedding of one object, from its box; or of the rest, from the picture without all objects."""
    if name == REST:
        yield from _without(tuple(sorted(masks)), picture, masks, group=REST)
        return
    yield Node(name=f"{name}.crop", stage=CROP, inputs={"pixels": f"{picture}.image.pixels", "mask": masks[name]})
    crop = {"embedding": f"{name}.crop.embedding", "locals": f"{name}.crop.embeddings"}
    yield Node(name=f"{name}.remix", stage=REMIX, inputs=crop)


def _without(absent: tuple[str, ...], picture: str, masks: Mapping[str, str], *, group: str) -> Iterable[Node]:
    """The CLAP embedding of the picture without some objects: `<group>.erase` to `<group>.remix`."""
    sources = {name: masks.get(name, f"{REST}.mask.mask") for name in absent}
    mask = next(iter(sources.values()))
    if len(sources) > 1:
        yield Node(name=f"{group}.unite", stage=UNITE, inputs={f"masks.{name}": one for name, one in sources.items()})
        mask = f"{group}.unite.mask"
    yield Node(name=f"{group}.erase", stage=ERASE, inputs={"pixels": f"{picture}.image.pixels", "mask": mask})
    yield Node(name=f"{group}.embed", stage=EMBED, inputs={"pixels": f"{group}.erase.pixels"})
    keep = {"boxes": f"{picture}.locals.boxes", "embeddings": f"{picture}.locals.embeddings"}
    keep |= {f"absent.{name}": one for name, one in sources.items()}
    keep |= {f"present.{name}": one for name, one in masks.items() if name not in absent}
    yield Node(name=f"{group}.keep", stage=KEEP, inputs=keep)
    slots = {"embedding": f"{group}.embed.embedding", "locals": f"{group}.keep.embeddings"}
    yield Node(name=f"{group}.remix", stage=REMIX, inputs=slots)


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
    detected = _detected(arrays)
    classes = {name: class_of(name, before, detected) for name in arrays.config.objects}
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
    return "kept" if not float(gain_db) else "raised" if float(gain_db) > 0 else "faded"


def _detected(arrays: RunArrays) -> dict[str, str]:
    """Object → the detector's class of the most confident box that belongs to it."""
    masks = {name: arrays[f"{name}.mask"]["mask"] for name in arrays.config.objects if arrays.has(f"{name}.mask")}
    seen = arrays[f"{ORIGINAL}.locals"]
    names = arrays.classes("detector")
    whose = owners(seen["boxes"], masks, arrays.config.margin)
    pairs = [(name, names[int(index)]) for name, index in zip(whose, seen["classes"], strict=True) if name]
    return dict(reversed(pairs))


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
