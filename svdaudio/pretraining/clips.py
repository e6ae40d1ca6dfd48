"""Cuts or repeats sounds to a given length."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Place = Literal["start", "centre", "random"]
Rng = np.random.Generator


def fit_length(
    waveform: Float[NDArray[np.float32], " sample"], n_samples: int, *, place: Place, rng: Rng
) -> Float[NDArray[np.float32], " {n_samples}"]:
    """Cut a longer waveform to a given length, or repeat a shorter one from its start.

    Args:
        waveform: at least one sample.
        n_samples: the length.
        place: the part to take: the beginning, the middle, or a random one.
        rng: draws the random part.
    """
    spare = len(waveform) - n_samples
    if spare <= 0:
        return np.resize(waveform, n_samples)
    first = {"start": 0, "centre": spare // 2}.get(place)
    if first is None:
        first = int(rng.integers(spare + 1))
    return waveform[first : first + n_samples]
