"""Plain SSV2A: the sound of one picture as it is."""

from __future__ import annotations

from collections.abc import Mapping

from svdaudio.engine.method import Method
from svdaudio.engine.stage import Nodes, by_name
from svdaudio.methods.parts import (
    PICTURE,
    RenderConfig,
    SoundConfig,
    check_generator,
    look_at,
    scores_of,
    sounds_of,
    synthesize,
    targets_of,
)
from svdaudio.views.stages import stage_views

SOUND = "original"


def nodes(config: SoundConfig) -> Nodes:
    """Picture, tokens, objects, sound."""
    return by_name(
        (
            *look_at(SOUND),
            *synthesize(SOUND, config, embedding=f"{SOUND}.tokens.embedding", objects=f"{SOUND}.locals.embeddings"),
        )
    )


def sounds(config: RenderConfig) -> Mapping[str, str]:
    """The one sound."""
    return sounds_of(config, [SOUND])


def scores(config: RenderConfig) -> Mapping[str, str]:
    """Its scores."""
    del config
    return scores_of([SOUND])


def targets(config: RenderConfig) -> tuple[str, ...]:
    """The sound, and its scores."""
    return targets_of(config, [SOUND])


METHOD = Method(
    name="baseline",
    summary="plain SSV2A: the sound of one picture as it is",
    files={SOUND: PICTURE},
    config=SoundConfig,
    nodes=nodes,
    targets=targets,
    sounds=sounds,
    scores=scores,
    result=SOUND,
    checks=(check_generator,),
    views=stage_views,
    former_parameters=("remove", "add", "align", "svd", "mix"),
)
