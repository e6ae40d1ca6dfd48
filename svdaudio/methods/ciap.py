"""CIAP: the sound of a picture by an image encoder that was trained with sounds, and without some of its objects.

    svdaudio ciap farm.jpg
    svdaudio ciap farm.jpg --object cat=756,581 --gain cat=-inf

The encoder puts a picture where AudioLDM's CLAP puts its sound; from there on, nothing differs from other methods. The
publication ends there. Fading needs no more than the encoder: as in the mixer, objects are erased from the picture, and
the mix lies between the embeddings of the picture with and without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import ValidationInfo, field_validator

from svdaudio.config import OBJECT_EXPECTED, Number, Objects, parameter
from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.method import ConfiguredFile, Method
from svdaudio.engine.stage import Node, Nodes, by_name
from svdaudio.errors import ConfigError
from svdaudio.methods.fading import Conditioner, fade_findings, faded, gains_parameter, margin_parameter
from svdaudio.methods.parts import (
    PICTURE,
    PretrainedConfig,
    RenderConfig,
    check_clicks,
    check_generator,
    mask_files,
    read_picture,
    render,
    scores_of,
    segment_object,
    sounds_of,
    targets_of,
)
from svdaudio.methods.stages import EMBED_IMAGE
from svdaudio.mixing.levels import REST, Gain
from svdaudio.verdicts import Finding
from svdaudio.views.stages import stage_views

ORIGINAL = "original"
MIX = "mix"
RESERVED = (ORIGINAL, MIX, REST, "all")
"""Names that no object may have."""


class CiapConfig(PretrainedConfig, RenderConfig):
    """Parameters of CIAP."""

    geometry: Literal["squash", "crop"] = parameter("squash", "how a picture becomes a square", '"squash" or "crop"')
    objects: Objects = parameter(
        {}, "objects to fade, by name", f"NAME = {OBJECT_EXPECTED}", is_table=True, paths="objects"
    )
    gains: dict[str, Gain] = gains_parameter("gain of each object and of the rest, in dB")
    margin: Number = margin_parameter()

    @field_validator("objects")
    @classmethod
    def _free_names(cls, table: dict[str, Any]) -> dict[str, Any]:
        for name in table:
            if name in RESERVED:
                raise ConfigError(f"an object cannot be called '{name}'", fix="give it another name")
        return table

    @field_validator("gains")
    @classmethod
    def _complete_gains(cls, gains: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """The gain of every object and of the rest, 0 dB unless given."""
        names = [*info.data.get("objects", {}), REST]
        for name in gains:
            if name not in names:
                raise ConfigError(f"there is no object '{name}'", expected=" or ".join(names), got=f"a gain for {name}")
        return {name: gains.get(name, 0.0) for name in names}


def without(
    group: str, picture: str, pixels: str | None, absent: Mapping[str, str], present: Mapping[str, str]
) -> Iterable[Node]:
    """CIAP's embedding of the erased picture: `<group>.embed_image`."""
    del absent, present
    yield embed(group, pixels or f"{picture}.image.pixels")


def embed(group: str, pixels: str) -> Node:
    """CIAP's embedding of a picture: `<group>.embed_image`.

    Args:
        group: group of the node.
        pixels: `node.output` of the picture.
    """
    return Node(name=f"{group}.embed_image", stage=EMBED_IMAGE, inputs={"pixels": pixels})


CIAP = Conditioner(clap="embed_image.clap", without=without)


def nodes(config: CiapConfig) -> Nodes:
    """The picture, its embedding and its sound; with objects, their masks and the mix."""
    plain = (
        read_picture(ORIGINAL),
        embed(ORIGINAL, f"{ORIGINAL}.image.pixels"),
        *render(ORIGINAL, config, clap=f"{ORIGINAL}.{CIAP.clap}"),
    )
    objects = [
        node
        for name, prompt in config.objects.items()
        for node in segment_object(name, picture=ORIGINAL, prompt=prompt, name=f"objects.{name}")
    ]
    masks = {name: f"{name}.mask.mask" for name in config.objects}
    mix = faded(MIX, ORIGINAL, masks, config.gains, config, conditioner=CIAP) if masks else ()
    return by_name((*plain, *objects, *mix))


def made(config: CiapConfig) -> tuple[str, ...]:
    """The sounds: the picture's own and, with objects, the mix."""
    return (ORIGINAL, MIX) if config.objects else (ORIGINAL,)


def main(config: CiapConfig) -> str:
    """The mix, or the picture's own sound where nothing is faded."""
    return made(config)[-1]


def targets(config: CiapConfig) -> tuple[str, ...]:
    """The masks, the mix, then the plain sound."""
    return (*(f"{name}.mask" for name in config.objects), *targets_of(config, reversed(made(config))))


def configured_files(config: CiapConfig) -> Mapping[str, ConfiguredFile]:
    """The mask files of the objects."""
    return mask_files(config.objects, "objects")


def sounds(config: CiapConfig) -> Mapping[str, str]:
    """The plain sound, and the mix."""
    return sounds_of(config, made(config))


def scores(config: CiapConfig) -> Mapping[str, str]:
    """The scores of each sound."""
    return scores_of(made(config))


def verdict(arrays: RunArrays) -> list[Finding]:
    """What was to happen to each object, and whether it did, by the scores of both sounds."""
    found = arrays.scores()
    if MIX not in found or ORIGINAL not in found:
        return []
    named = dict.fromkeys(arrays.config.objects, ())
    return fade_findings(found[ORIGINAL], found[MIX], named, arrays.config.gains)


METHOD = Method(
    name="ciap",
    summary="CIAP: the sound of a picture by image-audio pretraining",
    files={ORIGINAL: PICTURE},
    config=CiapConfig,
    nodes=nodes,
    targets=targets,
    configured_files=configured_files,
    regions={"objects": ORIGINAL},
    regions_optional=True,
    label="CIAP",
    sounds=sounds,
    scores=scores,
    result=main,
    checks=(check_clicks, check_generator),
    views=stage_views,
    verdict=verdict,
)
