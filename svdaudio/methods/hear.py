"""Sound recognition in CLIP's space: the cosine and the probability of each label for a sound.

    svdaudio hear bark.wav --labels dog,cat,rain

The method generates no sound: a sound encoder embeds the file where the guide, a CLIP, embeds the labels.
"""

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
"""Name of the file, and group of its nodes."""
MATCHED = f"{HEARD}.match"
"""The node with the scores and cosines."""


class HearConfig(Section):
    """Parameters of the comparison of a sound with labels."""

    preset: Literal["corrected", "published"] = parameter(
        "corrected",
        "whether the spectrogram keeps the level of the sound, or loses it as published",
        '"corrected" or "published"',
    )
    place: Literal["start", "centre", "random"] = parameter(
        "start",
        "which 10 s of a longer sound are encoded, and where a shorter one is placed in them",
        '"start", "centre" or "random"',
    )
    labels: Labels = parameter(
        (), "labels to compare the sound with (default: every text that the guide knows)", LABELS_EXPECTED
    )
    template: Template = parameter(
        "", "text around a label, which replaces {}; empty for the bare label", 'a text with "{}"'
    )
    scale: Number = parameter(
        14.29, "factor on the cosines before the softmax", "a number above 0, at most 1000", gt=0, le=1000
    )


class HearingConfig(PretrainedConfig):
    """Parameters of the method."""

    hear: HearConfig = HearConfig()


def nodes(config: HearingConfig) -> Nodes:
    """The sound, its spectrogram and its embedding; the labels' embeddings; and how well they match."""
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
                name=MATCHED,
                stage=MATCH,
                inputs={"embedding": f"{HEARD}.hear.embedding", "vectors": "labels.say.vectors"},
            ),
        )
    )


def scores(config: HearingConfig) -> Mapping[str, str]:
    """The probabilities of the labels."""
    del config
    return {HEARD: f"{MATCHED}.scores"}


def labels_of(config: HearingConfig, classes: Callable[[str], tuple[str, ...]]) -> tuple[str, ...]:
    """The labels of a run: those given, or else every text that the guide knows.

    Args:
        config: of the run.
        classes: returns the classes of a role of the bundle.
    """
    return config.hear.labels or classes("guide")


def check_labels(config: HearingConfig, known: tuple[str, ...]) -> None:
    """Check that there are labels, and that the guide can embed them.

    Args:
        config: of the run.
        known: the only texts that the guide knows; empty if it knows any text.

    Raises:
        ConfigError: no label is given, or the guide does not know one.
    """
    labels = config.hear.labels or known
    if not labels:
        raise ConfigError(
            "no labels given to compare the sound with",
            fix="give --labels dog,rain,thunder, or a file with one label per line",
        )
    for text in prompts(labels, config.hear.template):
        if known:
            check_text(text, known, other="a bundle whose guide knows any text")


def _check(request: Request, store: Store | None) -> None:
    del store
    if any(node.stage is SAY for node in request.nodes):
        check_labels(request.config, request.bundle.classes("guide"))


def measures(arrays: RunArrays) -> Mapping[str, Mapping[str, float]]:
    """The cosine of each label, and the levels of the sound in dB."""
    found: dict[str, Mapping[str, float]] = {}
    if arrays.has(MATCHED):
        pairs = zip(labels_of(arrays.config, arrays.classes), arrays[MATCHED]["cosines"], strict=True)
        found["cosines"] = {label: round(float(value), 6) for label, value in pairs}
    if arrays.has(f"{HEARD}.spectrogram"):
        maximum, loudness = (round(float(one), 2) for one in arrays[f"{HEARD}.spectrogram"]["level_db"])
        found["level_db"] = {"maximum": maximum, "loudness": loudness}
    return found


METHOD = Method(
    name="hear",
    summary="find the labels that are nearest to a sound in CLIP's space",
    files={HEARD: SOUND},
    config=HearingConfig,
    nodes=nodes,
    targets=(MATCHED,),
    scores=scores,
    score_names=labels_of,
    result=HEARD,
    checks=(_check,),
    views=stage_views,
    measures=measures,
)
