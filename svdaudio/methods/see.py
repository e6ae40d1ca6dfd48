"""The embedding of a picture in CLIP's space, where it can be compared with a sound."""

from __future__ import annotations

from svdaudio.engine.method import Method
from svdaudio.engine.stage import Node, Nodes, by_name
from svdaudio.methods.parts import PICTURE, PretrainedConfig, read_picture
from svdaudio.methods.stages import SEE

SEEN = "picture"


def nodes(config: PretrainedConfig) -> Nodes:
    """The picture and its embedding."""
    del config
    see = Node(name=f"{SEEN}.see", stage=SEE, inputs={"pixels": f"{SEEN}.image.pixels"})
    return by_name((read_picture(SEEN), see))


METHOD = Method(
    name="see",
    summary="embed a picture in CLIP's space",
    files={SEEN: PICTURE},
    config=PretrainedConfig,
    nodes=nodes,
    targets=(f"{SEEN}.see",),
)
