"""Plain SSV2A: the sound of one picture, without any edit."""

from __future__ import annotations

from collections.abc import Mapping

from svdaudio.engine.method import Method
from svdaudio.engine.stage import Nodes, by_name
from svdaudio.methods.parts import (
    PICTURE,
    RenderConfig,
    SoundConfig,
    check_generator,
    encode_picture,
    final_nodes,
    plain_sound,
    score_outputs,
    sound_outputs,
)
from svdaudio.views.stages import stage_views

SOUND = "original"


def nodes(config: SoundConfig) -> Nodes:
    """The picture with its tokens and detected objects, and its sound."""
    return by_name((*encode_picture(SOUND), *plain_sound(SOUND, config)))


def sounds(config: RenderConfig) -> Mapping[str, str]:
    """The only sound."""
    return sound_outputs(config, [SOUND])


def scores(config: RenderConfig) -> Mapping[str, str]:
    """The scores of the sound."""
    del config
    return score_outputs([SOUND])


def targets(config: RenderConfig) -> tuple[str, ...]:
    """The sound and its scores."""
    return final_nodes(config, [SOUND])


METHOD = Method(
    name="baseline",
    summary="generate the sound of one picture with plain SSV2A",
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
