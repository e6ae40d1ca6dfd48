"""The embedding of a sound in the space of a CLIP, where zero-shot evaluation compares it with labels.

A single stage leads from the file to the embedding, so that the store grows by only a few kilobytes for each sound of a
data set.
"""

from __future__ import annotations

from typing import Literal

from svdaudio.config import parameter
from svdaudio.engine.method import Method
from svdaudio.engine.stage import Node, Nodes, by_name
from svdaudio.methods.parts import SOUND, PretrainedConfig
from svdaudio.methods.stages import EMBED_SOUND

NODE = "sound.embedding"
"""The node whose output `embedding` is the unit vector, [1, dim]."""


class EmbedSoundConfig(PretrainedConfig):
    """Parameters of the embedding."""

    place: Literal["start", "centre"] = parameter(
        "centre",
        "which 10 s of a longer sound are encoded, and where a shorter one is placed in them",
        '"start" or "centre"',
    )


def nodes(config: EmbedSoundConfig) -> Nodes:
    """The embedding of the sound."""
    del config
    return by_name((Node(name=NODE, stage=EMBED_SOUND, inputs={"file": "file:sound"}),))


METHOD = Method(
    name="embed-sound",
    summary="embed a sound in the space of a CLIP",
    files={"sound": SOUND},
    config=EmbedSoundConfig,
    nodes=nodes,
    targets=(NODE,),
)
