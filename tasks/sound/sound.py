"""Reads a sound file of the user at its own sample rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from svdaudio.sounds.reading import finite, read_sound


def run(*, file: Path) -> dict[str, Float[NDArray[np.float32], " sample"] | Int[NDArray[np.int64], ""]]:
    """Waveform [sample], averaged over the channels, and its sample rate in Hz."""
    waveform, rate_hz = read_sound(file)
    return {"waveform": finite(waveform, file), "rate_hz": np.array(rate_hz)}
