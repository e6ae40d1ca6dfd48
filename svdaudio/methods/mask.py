"""The mask of an object in one picture, from clicks, a box or a mask file, to try these out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from svdaudio.config import REGION_EXPECTED, AlignConfig, Region, RunConfig, parameter
from svdaudio.engine.method import ConfiguredFile, Method
from svdaudio.engine.stage import Nodes, by_name
from svdaudio.methods.parts import PICTURE, check_clicks, mask_files, read_picture, segment_region
from svdaudio.views.stages import stage_views


class MaskConfig(RunConfig):
    """Parameters of a mask. Geometry and threshold decide which patches it covers."""

    point: Region = parameter(
        (), "the object, in pixels of the picture", REGION_EXPECTED, is_table=True, paths="objects"
    )
    geometry: Literal["squash", "crop"] = parameter("squash", "how pictures become square", '"squash" or "crop"')
    align: AlignConfig = AlignConfig()


def nodes(config: MaskConfig) -> Nodes:
    """The picture and the mask."""
    region = segment_region("object", picture="picture", region=config.point, name="point")
    return by_name((read_picture("picture"), *region))


def configured_files(config: MaskConfig) -> Mapping[str, ConfiguredFile]:
    """The mask files of the object."""
    return mask_files(config.point, "point")


METHOD = Method(
    name="mask",
    summary="show the mask of an object in one picture, to try clicks, a box or a mask file",
    files={"picture": PICTURE},
    config=MaskConfig,
    nodes=nodes,
    configured_files=configured_files,
    targets=("object.mask",),
    checks=(check_clicks,),
    views=stage_views,
)
