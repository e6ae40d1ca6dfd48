"""The sound of a picture by a mapper from CLIP's embedding to CLAP's, in the manner of V2A-Mapper.

It is there for comparison (`svdaudio evaluate conditioners`): `svdaudio run --method mapper PICTURE`.
"""

from __future__ import annotations

from svdaudio.engine.method import Method
from svdaudio.engine.stage import Node, Nodes, by_name
from svdaudio.methods.baseline import SOUND, scores, sounds, targets
from svdaudio.methods.parts import (
    PICTURE,
    PretrainedConfig,
    RenderConfig,
    check_generator,
    read_picture,
    render,
)
from svdaudio.methods.stages import EMBED, MAP_EMBEDDING
from svdaudio.views.stages import stage_views


class MapperConfig(PretrainedConfig, RenderConfig):
    """Parameters of the mapper: those of making sound."""


def nodes(config: MapperConfig) -> Nodes:
    """Picture, embedding, mapped embedding, sound."""
    return by_name(
        (
            read_picture(SOUND),
            Node(name=f"{SOUND}.embed", stage=EMBED, inputs={"pixels": f"{SOUND}.image.pixels"}),
            Node(name=f"{SOUND}.map", stage=MAP_EMBEDDING, inputs={"embedding": f"{SOUND}.embed.embedding"}),
            *render(SOUND, config, clap=f"{SOUND}.map.clap"),
        )
    )


METHOD = Method(
    name="mapper",
    summary="the sound of a picture by an MLP from CLIP to CLAP, in the manner of V2A-Mapper",
    files={SOUND: PICTURE},
    config=MapperConfig,
    nodes=nodes,
    targets=targets,
    sounds=sounds,
    scores=scores,
    result=SOUND,
    checks=(check_generator,),
    views=stage_views,
)
