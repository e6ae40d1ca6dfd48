"""The mixer: one picture, any number of objects, sounds and texts, and a gain for each of them and for the rest.

    svdaudio mix farm.jpg --object cat=756,581 --object dog=300,450 --gain cat=-inf --gain dog=+3
    svdaudio mix farm.jpg --sound rain=rain.wav --text "distant thunder" --gain rain=-6 --without-text speech

Three forms, which are other nodes: `fade` makes one sound from the picture with its objects faded; `clap` mixes the
embeddings of the objects, each by itself; `stems` makes a sound of each object and of the rest, and adds them up.
Sounds and texts join by their embeddings; as a stem, a sound is itself, and a text has a sound made of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from svdaudio.config import OBJECT_EXPECTED, SOUND_EXPECTED, TEXT_EXPECTED, Number, Objects, Section, Sources, parameter
from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.method import ConfiguredFile, Method
from svdaudio.engine.stage import Node, Nodes, by_name
from svdaudio.errors import ConfigError
from svdaudio.methods.fading import (
    SSV2A,
    FadeConfig,
    alone,
    blended,
    detected_classes,
    fade_findings,
    faded,
    gains_parameter,
)
from svdaudio.methods.parts import (
    PICTURE,
    SOUND,
    check_clicks,
    check_generator,
    check_texts,
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
from svdaudio.methods.stages import DESCRIBE, GAIN, HUSH, LEVEL, LISTEN, MASTER, MIXDOWN, RECORDING
from svdaudio.mixing.levels import REST, SILENCE, Gain
from svdaudio.models.audioldm.settings import N_TOGETHER
from svdaudio.verdicts import Finding, heard, untold
from svdaudio.views.stages import stage_views

ORIGINAL = "original"
MIX = "mix"
WITHOUT = "without"
RESERVED = (ORIGINAL, MIX, REST, WITHOUT, "all")
"""Names that no object, sound or text may have."""


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
    objects: Objects = parameter(
        {}, "the objects, by name", f"NAME = {OBJECT_EXPECTED}", is_table=True, paths="objects"
    )
    sounds: Sources = parameter(
        {}, "sound files beside the picture, by name", SOUND_EXPECTED, is_table=True, paths="files"
    )
    texts: Sources = parameter({}, "texts whose sounds are beside the picture, by name", TEXT_EXPECTED, is_table=True)
    gains: dict[str, Gain] = gains_parameter("gain of each object, sound and text and of the rest, in dB")
    without_text: Annotated[str, Field(min_length=1)] | None = parameter(
        None, "text whose sound generated sounds are led away from, by guidance", "a text"
    )
    master: MasterConfig = MasterConfig()

    @field_validator("objects", "sounds", "texts")
    @classmethod
    def _free_names(cls, table: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        for name in table:
            if name in RESERVED:
                raise ConfigError(f"an object cannot be called '{name}'", fix="give it another name")
            if any(name in info.data.get(other, ()) for other in ("objects", "sounds")):
                raise ConfigError(f"there are two sources '{name}'", fix="give each its own name")
        return table

    @field_validator("gains")
    @classmethod
    def _complete_gains(cls, gains: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """The gain of every object, sound and text and of the rest, 0 dB unless given."""
        names = [*(name for table in ("objects", "sounds", "texts") for name in info.data.get(table, {})), REST]
        for name in gains:
            if name not in names:
                raise ConfigError(f"there is no object '{name}'", expected=" or ".join(names), got=f"a gain for {name}")
        return {name: gains.get(name, 0.0) for name in names}

    @model_validator(mode="after")
    def _guidance_leads_away(self) -> MixerConfig:
        if self.without_text is None:
            return self
        made = self.generate
        if made.guidance_scale <= 1:
            raise ConfigError(
                "without_text needs guidance", expected="generate.guidance_scale above 1", got=made.guidance_scale
            )
        if made.noise == "joint" and made.candidates != N_TOGETHER:
            raise ConfigError(
                "without_text needs candidates with noise of their own", fix="use --set generate.noise=own"
            )
        return self

    @property
    def beside(self) -> dict[str, str]:
        """Sounds and texts by name → `node.output` of the CLAP embedding of each."""
        sounds = {name: f"{name}.listen.clap" for name in self.sounds}
        return {**sounds, **{name: f"{name}.describe.clap" for name in self.texts}}

    @property
    def away(self) -> str | None:
        """The `node.output` of the CLAP embedding that sounds are led away from."""
        return None if self.without_text is None else f"{WITHOUT}.describe.clap"

    @property
    def is_mix(self) -> bool:
        """Whether there is anything to mix."""
        return bool(self.objects or self.beside or self.away)


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
    if config.is_mix:
        forms = {"fade": partial(faded, conditioner=SSV2A), "clap": blended}
        fading = forms.get(config.form)
        mix = (
            [
                *(node for name in config.beside for node in _source(name, config)),
                *fading(MIX, ORIGINAL, masks, config.gains, config, beside=config.beside, away=config.away),
            ]
            if fading
            else stems(ORIGINAL, masks, config)
        )
    unwanted = [] if config.away is None else [_described(WITHOUT, "without_text")]
    return by_name((*look_at(ORIGINAL), *objects, *plain, *unwanted, *mix))


def stems(picture: str, masks: Mapping[str, str], config: MixerConfig) -> Iterable[Node]:
    """A sound of each object, of each source and of the rest, at its gain, and their sum: `mix.mixdown`.

    Args:
        picture: group of the nodes that looked at it.
        masks: object → `node.output` of its mask.
        config: gains, and which nodes there are.
    """
    for name in config.gains:
        if name in config.sounds:
            yield from _recorded(name, config)
            yield score(name, waveform=_recording(name, config))
            yield _at_gain(name, _recording(name, config))
            continue
        yield from _source(name, config) if name in config.texts else alone(name, picture, masks)
        yield from generate(name, config, clap=config.beside.get(name, f"{name}.remix.clap"), away=config.away)
        waveform = chosen(name, config)
        if name == REST and config.rest == "detected":
            inputs = {"waveform": waveform, "embeddings": f"{name}.keep.embeddings"}
            yield Node(name=f"{name}.hush", stage=HUSH, inputs=inputs)
            waveform = f"{name}.hush.waveform"
        yield score(name, waveform=waveform)
        yield from (finished := [*finish(name, config, waveform=waveform)])
        yield _at_gain(name, f"{name}.finish.waveform" if finished else waveform)
    waveforms = {f"waveforms.{name}": f"{name}.gain.waveform" for name in config.gains}
    if config.master.loudness_lufs is not None:
        yield Node(name=f"{MIX}.master", stage=MASTER, inputs=waveforms)
        for name in config.gains:
            level = {"waveform": f"{name}.gain.waveform", "gain_db": f"{MIX}.master.gain_db"}
            yield Node(name=f"{name}.level", stage=LEVEL, inputs=level)
    waveforms = {f"waveforms.{name}": source for name, source in _stem_sources(config).items()}
    yield Node(name=f"{MIX}.mixdown", stage=MIXDOWN, inputs=waveforms)
    yield score(MIX, waveform=f"{MIX}.mixdown.waveform")


def _at_gain(name: str, waveform: str) -> Node:
    gain = {"gain_db": f"gains.{name}"}
    return Node(name=f"{name}.gain", stage=GAIN, inputs={"waveform": waveform}, parameters=gain)


def _source(name: str, config: MixerConfig) -> Iterable[Node]:
    """The CLAP embedding of a text, or of a sound file at the loudness of all sounds."""
    if name in config.texts:
        yield _described(name, f"texts.{name}")
        return
    yield from _recorded(name, config)
    yield Node(name=f"{name}.listen", stage=LISTEN, inputs={"waveform": _recording(name, config)})


def _described(group: str, text: str) -> Node:
    return Node(name=f"{group}.describe", stage=DESCRIBE, inputs={}, parameters={"text": text})


def _recorded(name: str, config: MixerConfig) -> Iterable[Node]:
    """A sound file as it is mixed: `<name>.recording`, and `<name>.finish` unless that is switched off."""
    yield Node(name=f"{name}.recording", stage=RECORDING, inputs={"file": f"file:sounds.{name}"})
    yield from finish(name, config, waveform=f"{name}.recording.waveform")


def _recording(name: str, config: MixerConfig) -> str:
    return f"{name}.{'finish' if config.finish.form == 'clean' else 'recording'}.waveform"


def _stem_sources(config: MixerConfig) -> dict[str, str]:
    """Stem → `node.output` of what is added up."""
    last = "gain" if config.master.loudness_lufs is None else "level"
    return {name: f"{name}.{last}.waveform" for name in config.gains}


def targets(config: MixerConfig) -> tuple[str, ...]:
    """The masks, the mix, then each stem, then the plain sound.

    Raises:
        ConfigError: there is nothing to mix.
    """
    if not config.is_mix:
        raise ConfigError(
            "there is no object to mix, nor a sound or a text",
            fix=f"give --object NAME=PROMPT, which is {OBJECT_EXPECTED}; or --sound, --text or --without-text",
        )
    masks = tuple(f"{name}.mask" for name in config.objects)
    if config.form != "stems":
        return (*masks, *targets_of(config, (MIX, ORIGINAL)))
    stem_scores = tuple(f"{name}.scores" for name in config.gains)
    return (*masks, f"{MIX}.scores", *stem_scores, *targets_of(config, [ORIGINAL]))


def configured_files(config: MixerConfig) -> Mapping[str, ConfiguredFile]:
    """The mask files of the objects, and the sound files."""
    files = {f"sounds.{name}": ConfiguredFile(kind=SOUND, path=Path(path)) for name, path in config.sounds.items()}
    return {**mask_files(config.objects, "objects"), **files}


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
    before, after, config = found[ORIGINAL], found[MIX], arrays.config
    detected = detected_classes(arrays, ORIGINAL, {name: f"{name}.mask" for name in config.objects})
    beside = [name for name in config.beside if config.gains[name] != SILENCE]
    named = {name: detected.get(name, ()) for name in config.objects}
    named |= {name: [config.texts[name]] if name in config.texts else () for name in beside}
    findings = fade_findings(before, after, named, config.gains, added=beside)
    if (unwanted := config.without_text) is not None:
        findings.append(
            heard(unwanted, before=before[unwanted], after=after[unwanted], wanted="silenced")
            if unwanted in before
            else untold(unwanted, "silenced", "no class of the tagger tells about it")
        )
    return findings


METHOD = Method(
    name="mixer",
    summary="a gain for each object of a picture",
    files={ORIGINAL: PICTURE},
    config=MixerConfig,
    nodes=nodes,
    targets=targets,
    configured_files=configured_files,
    regions={"objects": ORIGINAL},
    sounds=sounds,
    scores=scores,
    result=MIX,
    stems=stem_names,
    checks=(check_clicks, check_generator, check_texts),
    views=stage_views,
    verdict=verdict,
)
