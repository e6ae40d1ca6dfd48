"""A trial: the mask of an object in one picture, from clicks, a box or a mask file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from svdaudio.config import REGION_EXPECTED, AlignConfig, Region, RunConfig, parameter
from svdaudio.engine.method import ConfiguredFile, Method
from svdaudio.engine.stage import Nodes, by_name
from svdaudio.methods.parts import PICTURE, check_clicks, mask_files, read_picture, segment_region
from svdaudio.views.stages import stage_views


class MaskConfig(RunConfig):
    """Parameters of a trial. Geometry and threshold say which patches the mask covers."""

    point: Region = parameter(
        (), "the object, in pixels of the picture", REGION_EXPECTED, is_table=True, paths="objects"
    )
    geometry: Literal["squash", "crop"] = parameter(
        "squash", "how image and mask become 224 x 224 px", '"squash" or "crop"'
    )
    align: AlignConfig = AlignConfig()


def nodes(config: MaskConfig) -> Nodes:
    """Picture and mask."""
    region = segment_region("object", picture="picture", region=config.point, name="point")
    return by_name((read_picture("picture"), *region))


def configured_files(config: MaskConfig) -> Mapping[str, ConfiguredFile]:
    """The mask files of the object."""
    return mask_files(config.point, "point")


METHOD = Method(
    name="mask",
    summary="the mask of an object in one picture, to try clicks",
    files={"picture": PICTURE},
    config=MaskConfig,
    nodes=nodes,
    configured_files=configured_files,
    targets=("object.mask",),
    checks=(check_clicks,),
    views=stage_views,
)
