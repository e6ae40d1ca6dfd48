"""Plain SSV2A: the sound of one picture as it is."""

from __future__ import annotations

from collections.abc import Mapping

from svdaudio.engine.method import Method
from svdaudio.engine.stage import Nodes, by_name
from svdaudio.methods.parts import PICTURE, SoundConfig, check_generator, look_at, synthesize
from svdaudio.views.stages import stage_views

SOUND = "original"


def nodes(config: SoundConfig) -> Nodes:
    """Picture, tokens, objects, sound."""
    del config
    return by_name(
        (
            *look_at(SOUND),
            *synthesize(SOUND, embedding=f"{SOUND}.tokens.embedding", objects=f"{SOUND}.locals.embeddings"),
        )
    )


def sounds(config: SoundConfig) -> Mapping[str, str]:
    """The one sound."""
    del config
    return {SOUND: f"{SOUND}.choose.waveform"}


def scores(config: SoundConfig) -> Mapping[str, str]:
    """Its scores."""
    del config
    return {SOUND: f"{SOUND}.scores.scores"}


METHOD = Method(
    name="baseline",
    summary="plain SSV2A: the sound of one picture as it is",
    files={SOUND: PICTURE},
    config=SoundConfig,
    nodes=nodes,
    targets=(f"{SOUND}.scores",),
    sounds=sounds,
    scores=scores,
    result=SOUND,
    checks=(check_generator,),
    views=stage_views,
    former_parameters=("remove", "add", "align", "svd", "mix"),
)
