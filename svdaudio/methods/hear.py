"""Which labels a sound is nearest to in CLIP's space; it makes no sound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from svdaudio.config import LABELS_EXPECTED, Labels, Section, Template, check_text, parameter, prompts
from svdaudio.config.sections import Number
from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.method import Method
from svdaudio.engine.request import Request
from svdaudio.engine.stage import Node, Nodes, by_name
from svdaudio.errors import ConfigError
from svdaudio.methods.parts import SOUND, PretrainedConfig
from svdaudio.methods.stages import HEAR, MATCH, SAY, SOUND_FILE, SPECTROGRAM
from svdaudio.store.base import Store
from svdaudio.views.stages import stage_views

HEARD = "sound"
"""The file, and the group of the nodes that read it."""
SCORED = f"{HEARD}.match"


class HearConfig(Section):
    """How a sound is compared with labels."""

    preset: Literal["corrected", "published"] = parameter(
        "corrected",
        "whether the level of a sound stays visible to the encoder, or is lost as published",
        '"corrected" or "published"',
    )
    place: Literal["start", "centre", "random"] = parameter(
        "start", "which part of a sound beyond 10 s is heard; where a shorter one lies", '"start", "centre" or "random"'
    )
    labels: Labels = parameter(
        (), "what the sound is compared with (default every text that the guide knows)", LABELS_EXPECTED
    )
    template: Template = parameter(
        "", "text of a label, {} stands for it; empty for the bare label", 'a text with "{}"'
    )
    scale: Number = parameter(
        14.29, "by which cosines are multiplied before the softmax", "a number above 0, at most 1000", gt=0, le=1000
    )


class HearingConfig(PretrainedConfig):
    """Parameters of the method."""

    hear: HearConfig = HearConfig()


def nodes(config: HearingConfig) -> Nodes:
    """The sound, its picture and its embedding; the labels; how near they are."""
    del config
    return by_name(
        (
            Node(name=f"{HEARD}.sound", stage=SOUND_FILE, inputs={"file": f"file:{HEARD}"}),
            Node(
                name=f"{HEARD}.spectrogram",
                stage=SPECTROGRAM,
                inputs={"waveform": f"{HEARD}.sound.waveform", "rate_hz": f"{HEARD}.sound.rate_hz"},
            ),
            Node(name=f"{HEARD}.hear", stage=HEAR, inputs={"mel_image": f"{HEARD}.spectrogram.mel_image"}),
            Node(name="labels.say", stage=SAY, inputs={}),
            Node(
                name=SCORED,
                stage=MATCH,
                inputs={"embedding": f"{HEARD}.hear.embedding", "vectors": "labels.say.vectors"},
            ),
        )
    )


def scores(config: HearingConfig) -> Mapping[str, str]:
    """The probabilities of the labels."""
    del config
    return {HEARD: f"{SCORED}.scores"}


def labels_of(config: HearingConfig, classes: Callable[[str], tuple[str, ...]]) -> tuple[str, ...]:
    """The labels of a run: those that were given, else every text that the guide knows.

    Args:
        config: of the run.
        classes: role → its classes, of the bundle.
    """
    return config.hear.labels or classes("guide")


def check_labels(config: HearingConfig, known: tuple[str, ...]) -> None:
    """Make sure that there are labels, and that the guide can embed them.

    Args:
        config: of the run.
        known: the only texts that the guide knows; empty if it knows any.

    Raises:
        ConfigError: there are none, or it cannot.
    """
    labels = config.hear.labels or known
    if not labels:
        raise ConfigError(
            "there are no labels to compare the sound with",
            fix="give --labels dog,rain,thunder, or a file with one label a line",
        )
    for text in prompts(labels, config.hear.template):
        if known:
            check_text(text, known, other="a bundle whose guide knows any text")


def _check(request: Request, store: Store | None) -> None:
    del store
    if any(node.stage is SAY for node in request.nodes):
        check_labels(request.config, request.bundle.classes("guide"))


def measures(arrays: RunArrays) -> Mapping[str, Mapping[str, float]]:
    """The cosine of each label, and the sound's levels in dB."""
    found: dict[str, Mapping[str, float]] = {}
    if arrays.has(SCORED):
        pairs = zip(labels_of(arrays.config, arrays.classes), arrays[SCORED]["cosines"], strict=True)
        found["cosines"] = {label: round(float(value), 6) for label, value in pairs}
    if arrays.has(f"{HEARD}.spectrogram"):
        maximum, loudness = (round(float(one), 2) for one in arrays[f"{HEARD}.spectrogram"]["level_db"])
        found["level_db"] = {"maximum": maximum, "loudness": loudness}
    return found


METHOD = Method(
    name="hear",
    summary="which labels a sound is nearest to in CLIP's space",
    files={HEARD: SOUND},
    config=HearingConfig,
    nodes=nodes,
    targets=(SCORED,),
    scores=scores,
    score_names=labels_of,
    result=HEARD,
    checks=(_check,),
    views=stage_views,
    measures=measures,
)
