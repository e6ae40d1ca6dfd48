"""CIAP: the sound of a picture by image-audio pretraining, if wanted with some of its objects faded.

    svdaudio ciap farm.jpg
    svdaudio ciap farm.jpg --object cat=756,581 --gain cat=-inf

CIAP's image encoder maps a picture into the space of AudioLDM's CLAP, next to the embedding of its sound; AudioLDM then
generates a sound as in the other methods. This much is published. Fading is our addition: as in the mixer, objects are
erased from the picture, and the mix lies between the embeddings of the picture with and without them.
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
from svdaudio.methods.fading import (
    Conditioner,
    complete_gains,
    fade_findings,
    fade_objects,
    gains_parameter,
    margin_parameter,
)
from svdaudio.methods.parts import (
    PICTURE,
    PretrainedConfig,
    RenderConfig,
    check_clicks,
    check_generator,
    final_nodes,
    mask_files,
    read_picture,
    render,
    score_outputs,
    segment_object,
    sound_outputs,
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

    geometry: Literal["squash", "crop"] = parameter("squash", "how pictures become square", '"squash" or "crop"')
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
                raise ConfigError(f"'{name}' is a reserved name", fix="choose another name")
        return table

    @field_validator("gains")
    @classmethod
    def _complete_gains(cls, gains: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """The gain of every object and of the rest, 0 dB unless given."""
        return complete_gains(gains, [*info.data.get("objects", {}), REST])


def embed_erased(
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


CIAP = Conditioner(clap="embed_image.clap", embed_erased=embed_erased)


def nodes(config: CiapConfig) -> Nodes:
    """The picture, its embedding and its sound; with objects, also their masks and the mix."""
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
    mix = fade_objects(MIX, ORIGINAL, masks, config.gains, config, conditioner=CIAP) if masks else ()
    return by_name((*plain, *objects, *mix))


def sound_names(config: CiapConfig) -> tuple[str, ...]:
    """The picture's plain sound and, with objects, the mix."""
    return (ORIGINAL, MIX) if config.objects else (ORIGINAL,)


def result(config: CiapConfig) -> str:
    """The mix, or without objects the plain sound."""
    return sound_names(config)[-1]


def targets(config: CiapConfig) -> tuple[str, ...]:
    """The masks, the mix, and last the plain sound."""
    return (*(f"{name}.mask" for name in config.objects), *final_nodes(config, reversed(sound_names(config))))


def configured_files(config: CiapConfig) -> Mapping[str, ConfiguredFile]:
    """The mask files of the objects."""
    return mask_files(config.objects, "objects")


def sounds(config: CiapConfig) -> Mapping[str, str]:
    """The plain sound and the mix."""
    return sound_outputs(config, sound_names(config))


def scores(config: CiapConfig) -> Mapping[str, str]:
    """The scores of each sound."""
    return score_outputs(sound_names(config))


def verdict(arrays: RunArrays) -> list[Finding]:
    """Whether each object was changed as its gain demands, by the scores of both sounds."""
    found = arrays.scores()
    if MIX not in found or ORIGINAL not in found:
        return []
    candidates = dict.fromkeys(arrays.config.objects, ())
    return fade_findings(found[ORIGINAL], found[MIX], candidates, arrays.config.gains)


METHOD = Method(
    name="ciap",
    summary="generate the sound of a picture by image-audio pretraining",
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
    result=result,
    checks=(check_clicks, check_generator),
    views=stage_views,
    verdict=verdict,
)
