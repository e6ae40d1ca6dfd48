"""A method on pictures with a tab in the studio; bodies can be imported anywhere and note calls as `cluster_toy`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from cluster_toy import SCORES, ran
from PIL import Image

from svdaudio.config import RunConfig, parameter
from svdaudio.engine.method import Method
from svdaudio.engine.stage import Node, Stage, by_name
from svdaudio.methods.parts import PICTURE

PLACE = "picture_toy:METHOD"
"""For SVDAUDIO_METHODS."""


class PictureToyConfig(RunConfig):
    """Parameters of the toy."""

    spot: str = parameter("", "where to listen", "a text")
    level: float = parameter(0.5, "how loud", "a number")


def look(*, file: Path) -> dict[str, Any]:
    ran("look")
    return {"brightness": np.float32(np.asarray(Image.open(file).convert("L")).mean())}


def tone(*, brightness: Any, level: float) -> dict[str, Any]:
    ran("tone")
    return {"waveform": (level * np.sin(np.arange(2205) * (0.01 + brightness / 1000))).astype(np.float32)}


LOOK = Stage(
    name="look", inputs=("file",), outputs=("brightness",), body="picture_toy:look", summary="how bright it is"
)
TONE = Stage(
    name="tone", inputs=("brightness",), outputs=("waveform",), parameters={"level": "level"}, body="picture_toy:tone",
    summary="a tone of that pitch",
)  # fmt: skip


def nodes(config: Any) -> dict[str, Node]:
    """A picture, the tone of its brightness, and its scores."""
    del config
    return by_name(
        [
            Node(name="look", stage=LOOK, inputs={"file": "file:original"}),
            Node(name="tone", stage=TONE, inputs={"brightness": "look.brightness"}),
            Node(name="tone.scores", stage=SCORES, inputs={"waveform": "tone.waveform"}),
        ]
    )


def sounds(config: Any) -> dict[str, str]:
    """The one sound."""
    del config
    return {"tone": "tone.waveform"}


METHOD = Method(
    name="picture-toy", summary="the tone of a picture", files={"original": PICTURE}, config=PictureToyConfig,
    nodes=nodes, targets=("tone.scores",), sounds=sounds, result="tone", regions={"spot": "original"},
)  # fmt: skip
