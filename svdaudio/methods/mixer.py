"""The mixer: a gain for each object of a picture, for added sounds and texts, and for the rest of the picture.

    svdaudio mix farm.jpg --object cat=756,581 --object dog=300,450 --gain cat=-inf --gain dog=+3
    svdaudio mix farm.jpg --sound rain=rain.wav --text "distant thunder" --gain rain=-6 --without-text speech

Each of the three forms has its own nodes. `fade` generates one sound from the picture with its objects faded; `clap`
generates one sound from a mix of the objects' own embeddings; `stems` generates a sound for each object and for the
rest, and adds them up. Added sounds and texts ("sources") enter by their CLAP embeddings; in form `stems`, a sound file
is its own stem, and a text's stem is generated from it.
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
    blend_objects,
    complete_gains,
    detected_classes,
    embed_object,
    fade_findings,
    fade_objects,
    gains_parameter,
)
from svdaudio.methods.parts import (
    PICTURE,
    SOUND,
    check_clicks,
    check_generator,
    check_texts,
    encode_picture,
    final_nodes,
    finish,
    generate,
    kept_waveform,
    mask_files,
    plain_sound,
    score,
    score_outputs,
    segment_object,
    sound_outputs,
)
from svdaudio.methods.stages import DESCRIBE, GAIN, HUSH, LEVEL, LISTEN, MASTER, MIXDOWN, RECORDING
from svdaudio.mixing.levels import REST, SILENCE, Gain
from svdaudio.models.audioldm.settings import N_TOGETHER
from svdaudio.verdicts import Finding, heard, inconclusive
from svdaudio.views.stages import stage_views

ORIGINAL = "original"
MIX = "mix"
WITHOUT = "without"
RESERVED = (ORIGINAL, MIX, REST, WITHOUT, "all")
"""Names that no object, sound or text may have."""


class MasterConfig(Section):
    """Mastering of the sum of the stems."""

    loudness_lufs: Number | None = parameter(
        None,
        "integrated loudness of the sum of the stems, in LUFS; unless given, the sum is not changed",
        "a number from -70 to 0",
        ge=-70,
        le=0,
    )


class MixerConfig(FadeConfig):
    """Parameters of the mixer."""

    form: Literal["fade", "clap", "stems"] = parameter(
        "fade",
        "fade objects in the picture, mix their embeddings, or add up their sounds",
        '"fade", "clap" or "stems"',
    )
    objects: Objects = parameter(
        {}, "objects of the picture, by name", f"NAME = {OBJECT_EXPECTED}", is_table=True, paths="objects"
    )
    sounds: Sources = parameter({}, "sound files to mix in, by name", SOUND_EXPECTED, is_table=True, paths="files")
    texts: Sources = parameter({}, "texts whose sounds to mix in, by name", TEXT_EXPECTED, is_table=True)
    gains: dict[str, Gain] = gains_parameter("gain of each object, sound and text and of the rest, in dB")
    without_text: Annotated[str, Field(min_length=1)] | None = parameter(
        None, "negative prompt: text of a sound that guidance steers away from", "a text"
    )
    master: MasterConfig = MasterConfig()

    @field_validator("objects", "sounds", "texts")
    @classmethod
    def _free_names(cls, table: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        for name in table:
            if name in RESERVED:
                raise ConfigError(f"'{name}' is a reserved name", fix="choose another name")
            if any(name in info.data.get(other, ()) for other in ("objects", "sounds")):
                raise ConfigError(f"there are two sources '{name}'", fix="give each its own name")
        return table

    @field_validator("gains")
    @classmethod
    def _complete_gains(cls, gains: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        names = [*(name for table in ("objects", "sounds", "texts") for name in info.data.get(table, {})), REST]
        return complete_gains(gains, names)

    @model_validator(mode="after")
    def _guided_if_negative(self) -> MixerConfig:
        if self.without_text is None:
            return self
        generate = self.generate
        if generate.guidance_scale <= 1:
            raise ConfigError(
                "without_text needs guidance", expected="generate.guidance_scale above 1", got=generate.guidance_scale
            )
        if generate.noise == "joint" and generate.candidates != N_TOGETHER:
            raise ConfigError(
                "without_text needs candidates with noise of their own", fix="use --set generate.noise=own"
            )
        return self

    @property
    def sources(self) -> dict[str, str]:
        """Name of each added sound or text → `node.output` of its CLAP embedding."""
        sounds = {name: f"{name}.listen.clap" for name in self.sounds}
        return {**sounds, **{name: f"{name}.describe.clap" for name in self.texts}}

    @property
    def negative(self) -> str | None:
        """The `node.output` of the CLAP embedding that guidance steers away from."""
        return None if self.without_text is None else f"{WITHOUT}.describe.clap"

    @property
    def is_mix(self) -> bool:
        """Whether there is anything to mix."""
        return bool(self.objects or self.sources or self.negative)


def nodes(config: MixerConfig) -> Nodes:
    """The picture and its plain sound, the masks of the objects, and the mix in the chosen form."""
    objects = [
        node
        for name, prompt in config.objects.items()
        for node in segment_object(name, picture=ORIGINAL, prompt=prompt, name=f"objects.{name}")
    ]
    negative = [] if config.negative is None else [_describe(WITHOUT, "without_text")]
    mix = _mix(config) if config.is_mix else ()
    return by_name((*encode_picture(ORIGINAL), *objects, *plain_sound(ORIGINAL, config), *negative, *mix))


def _mix(config: MixerConfig) -> Iterable[Node]:
    """The mix in the chosen form; its last node is `mix.scores`."""
    masks = {name: f"{name}.mask.mask" for name in config.objects}
    if config.form == "stems":
        yield from _stems(masks, config)
        return
    for name in config.sources:
        yield from _embed_source(name, config)
    mixed = blend_objects if config.form == "clap" else partial(fade_objects, conditioner=SSV2A)
    yield from mixed(MIX, ORIGINAL, masks, config.gains, config, sources=config.sources, negative=config.negative)


def _stems(masks: Mapping[str, str], config: MixerConfig) -> Iterable[Node]:
    """A stem for each object, each source and the rest, at its gain, and their sum, `mix.mixdown`."""
    for name in config.gains:
        if name in config.sounds:
            yield from _read_recording(name, config)
            yield score(name, waveform=_recording(name, config))
            yield _apply_gain(name, _recording(name, config))
            continue
        yield from _embed_source(name, config) if name in config.texts else embed_object(name, ORIGINAL, masks)
        clap = config.sources.get(name, f"{name}.remix.clap")
        yield from generate(name, config, clap=clap, negative=config.negative)
        waveform = kept_waveform(name, config)
        if name == REST and config.rest == "detected":
            inputs = {"waveform": waveform, "embeddings": f"{name}.keep.embeddings"}
            yield Node(name=f"{name}.hush", stage=HUSH, inputs=inputs)
            waveform = f"{name}.hush.waveform"
        yield score(name, waveform=waveform)
        yield from (finished := [*finish(name, config, waveform=waveform)])
        yield _apply_gain(name, f"{name}.finish.waveform" if finished else waveform)
    waveforms = {f"waveforms.{name}": f"{name}.gain.waveform" for name in config.gains}
    if config.master.loudness_lufs is not None:
        yield Node(name=f"{MIX}.master", stage=MASTER, inputs=waveforms)
        for name in config.gains:
            level = {"waveform": f"{name}.gain.waveform", "gain_db": f"{MIX}.master.gain_db"}
            yield Node(name=f"{name}.level", stage=LEVEL, inputs=level)
    waveforms = {f"waveforms.{name}": waveform for name, waveform in _stem_outputs(config).items()}
    yield Node(name=f"{MIX}.mixdown", stage=MIXDOWN, inputs=waveforms)
    yield score(MIX, waveform=f"{MIX}.mixdown.waveform")


def _apply_gain(name: str, waveform: str) -> Node:
    gain = {"gain_db": f"gains.{name}"}
    return Node(name=f"{name}.gain", stage=GAIN, inputs={"waveform": waveform}, parameters=gain)


def _embed_source(name: str, config: MixerConfig) -> Iterable[Node]:
    """The CLAP embedding of a text, or of a sound file at the common loudness."""
    if name in config.texts:
        yield _describe(name, f"texts.{name}")
        return
    yield from _read_recording(name, config)
    yield Node(name=f"{name}.listen", stage=LISTEN, inputs={"waveform": _recording(name, config)})


def _describe(group: str, text: str) -> Node:
    return Node(name=f"{group}.describe", stage=DESCRIBE, inputs={}, parameters={"text": text})


def _read_recording(name: str, config: MixerConfig) -> Iterable[Node]:
    """A sound file, ready to mix: `<name>.recording`, and `<name>.finish` unless finishing is switched off."""
    yield Node(name=f"{name}.recording", stage=RECORDING, inputs={"file": f"file:sounds.{name}"})
    yield from finish(name, config, waveform=f"{name}.recording.waveform")


def _recording(name: str, config: MixerConfig) -> str:
    return f"{name}.{'finish' if config.finish.form == 'clean' else 'recording'}.waveform"


def _stem_outputs(config: MixerConfig) -> dict[str, str]:
    """Stem → `node.output` of the waveform that enters the sum."""
    last = "gain" if config.master.loudness_lufs is None else "level"
    return {name: f"{name}.{last}.waveform" for name in config.gains}


def targets(config: MixerConfig) -> tuple[str, ...]:
    """The masks, the mix, the stems, and last the plain sound.

    Raises:
        ConfigError: there is nothing to mix.
    """
    if not config.is_mix:
        raise ConfigError(
            "nothing given to mix",
            fix=f"give --object NAME=PROMPT, where PROMPT is {OBJECT_EXPECTED}; or --sound, --text or --without-text",
        )
    masks = tuple(f"{name}.mask" for name in config.objects)
    if config.form != "stems":
        return (*masks, *final_nodes(config, (MIX, ORIGINAL)))
    stem_scores = tuple(f"{name}.scores" for name in config.gains)
    return (*masks, f"{MIX}.scores", *stem_scores, *final_nodes(config, [ORIGINAL]))


def configured_files(config: MixerConfig) -> Mapping[str, ConfiguredFile]:
    """The mask files of the objects, and the added sound files."""
    files = {f"sounds.{name}": ConfiguredFile(kind=SOUND, path=Path(path)) for name, path in config.sounds.items()}
    return {**mask_files(config.objects, "objects"), **files}


def sounds(config: MixerConfig) -> Mapping[str, str]:
    """The plain sound, the mix, and the stems at their gains."""
    if config.form != "stems":
        return sound_outputs(config, (ORIGINAL, MIX))
    return {**sound_outputs(config, [ORIGINAL]), MIX: f"{MIX}.mixdown.waveform", **_stem_outputs(config)}


def scores(config: MixerConfig) -> Mapping[str, str]:
    """The scores of each sound; a stem is scored at 0 dB."""
    return score_outputs((ORIGINAL, MIX, *stem_names(config)))


def stem_names(config: MixerConfig) -> tuple[str, ...]:
    """The sounds that add up to the mix."""
    return tuple(config.gains) if config.form == "stems" else ()


def verdict(arrays: RunArrays) -> list[Finding]:
    """Whether each object was changed as its gain demands, by the scores of the plain sound and of the mix."""
    found = arrays.scores()
    if MIX not in found or ORIGINAL not in found:
        return []
    before, after, config = found[ORIGINAL], found[MIX], arrays.config
    detected = detected_classes(arrays, ORIGINAL, {name: f"{name}.mask" for name in config.objects})
    added = [name for name in config.sources if config.gains[name] != SILENCE]
    candidates = {name: detected.get(name, ()) for name in config.objects}
    candidates |= {name: [config.texts[name]] if name in config.texts else () for name in added}
    findings = fade_findings(before, after, candidates, config.gains, added=added)
    if (unwanted := config.without_text) is not None:
        findings.append(
            heard(unwanted, before=before[unwanted], after=after[unwanted], wanted="silenced")
            if unwanted in before
            else inconclusive(unwanted, "silenced", "the tagger has no class for it")
        )
    return findings


METHOD = Method(
    name="mixer",
    summary="mix the sounds of a picture's objects, each at its gain",
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
