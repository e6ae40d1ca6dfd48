"""A trial click: the mask of one object in one picture."""

from __future__ import annotations

from typing import Literal

from svdaudio.config import POINTS_EXPECTED, AlignConfig, Points, RunConfig, parameter
from svdaudio.engine.method import Method
from svdaudio.engine.stage import Nodes, by_name
from svdaudio.methods.parts import PICTURE, check_clicks, read_picture, segment
from svdaudio.views.stages import stage_views


class MaskConfig(RunConfig):
    """Parameters of a trial click. Geometry and threshold say which patches the mask covers."""

    point: Points = parameter((), "clicks on the object, in pixels of the picture", POINTS_EXPECTED)
    geometry: Literal["squash", "crop"] = parameter(
        "squash", "how image and mask become 224 x 224 px", '"squash" or "crop"'
    )
    align: AlignConfig = AlignConfig()


def nodes(config: MaskConfig) -> Nodes:
    """Picture and mask."""
    del config
    return by_name((read_picture("picture"), segment("object", picture="picture", points="point")))


METHOD = Method(
    name="mask",
    summary="a trial click: the mask of one object in one picture",
    files={"picture": PICTURE},
    config=MaskConfig,
    nodes=nodes,
    targets=("object.mask",),
    checks=(check_clicks,),
    views=stage_views,
)
