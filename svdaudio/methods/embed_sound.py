"""The embedding of a sound where a CLIP embeds pictures and texts: what zero-shot evaluation compares with labels.

One stage from file to embedding, so that the store grows by a few kilobytes a sound, however large the data set is.
"""

from __future__ import annotations

from typing import Literal

from svdaudio.config import parameter
from svdaudio.engine.method import Method
from svdaudio.engine.stage import Node, Nodes, by_name
from svdaudio.methods.parts import SOUND, PretrainedConfig
from svdaudio.methods.stages import EMBED_SOUND

NODE = "sound.embedding"
"""Its output `embedding` is the unit vector, [1, dim]."""


class EmbedSoundConfig(PretrainedConfig):
    """Parameters of the embedding."""

    place: Literal["start", "centre"] = parameter(
        "centre",
        "part of a longer sound, or where a shorter one lies, in the 10 s that are heard",
        '"start" or "centre"',
    )


def nodes(config: EmbedSoundConfig) -> Nodes:
    """The sound's embedding."""
    del config
    return by_name((Node(name=NODE, stage=EMBED_SOUND, inputs={"file": "file:sound"}),))


METHOD = Method(
    name="embed-sound",
    summary="the embedding of a sound in the space of a CLIP",
    files={"sound": SOUND},
    config=EmbedSoundConfig,
    nodes=nodes,
    targets=(NODE,),
)
