"""Step 9: scores of an audio tagger, 0 to 1 for each class."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from jaxtyping import Float
from torch import Tensor

from svdaudio.sounds.rates import OUTPUT_RATE_HZ


class Hearing(NamedTuple):
    """A tagger's outputs for a batch of sounds, on the CPU."""

    logits: Float[Tensor, "batch class"]
    """Class scores before the sigmoid."""
    embedding: Float[Tensor, "batch dim"]
    """The features that the logits are computed from."""


class Tagger(Protocol):
    """Scores sounds by class."""

    classes: tuple[str, ...]

    def hear(self, waveforms: Float[Tensor, "batch sample"], sample_rate_hz: int) -> Hearing:
        """Logits and embedding of sounds."""
        ...

    def scores(self, waveforms: Float[Tensor, "batch sample"], sample_rate_hz: int) -> Float[Tensor, "batch class"]:
        """Score of each class, independently 0..1."""
        ...


def class_scores(
    tagger: Tagger, waveform: Float[Tensor, "1 sample"], sample_rate_hz: int = OUTPUT_RATE_HZ
) -> Float[Tensor, " class"]:
    """Scores of one sound, in the order of `tagger.classes`."""
    return tagger.scores(waveform, sample_rate_hz)[0]
