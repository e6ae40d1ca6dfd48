"""The sound of a picture by a mapper from CLIP's embedding to CLAP's, in the manner of V2A-Mapper.

    svdaudio run --method mapper PICTURE

It serves as a comparison (`svdaudio evaluate conditioners`).
"""

from __future__ import annotations

from dataclasses import replace

from svdaudio.engine.stage import Node, Nodes, by_name
from svdaudio.methods.baseline import METHOD as BASELINE
from svdaudio.methods.baseline import SOUND
from svdaudio.methods.parts import PretrainedConfig, RenderConfig, read_picture, render
from svdaudio.methods.stages import EMBED, MAP_EMBEDDING


class MapperConfig(PretrainedConfig, RenderConfig):
    """Parameters of the mapper: only those that turn a CLAP embedding into sound."""


def nodes(config: MapperConfig) -> Nodes:
    """The picture, its CLIP embedding, the CLAP embedding mapped from it, and the sound."""
    return by_name(
        (
            read_picture(SOUND),
            Node(name=f"{SOUND}.embed", stage=EMBED, inputs={"pixels": f"{SOUND}.image.pixels"}),
            Node(name=f"{SOUND}.map", stage=MAP_EMBEDDING, inputs={"embedding": f"{SOUND}.embed.embedding"}),
            *render(SOUND, config, clap=f"{SOUND}.map.clap"),
        )
    )


METHOD = replace(
    BASELINE,
    name="mapper",
    summary="generate the sound of a picture with an MLP from CLIP to CLAP, as V2A-Mapper does",
    config=MapperConfig,
    nodes=nodes,
    former_parameters=(),
)
