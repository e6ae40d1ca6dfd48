"""Applies its own gain to a stem."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.mixing.mixdown import apply_gain


def run(
    *, waveform: Float[NDArray[np.float32], "1 sample"], gain_db: float | str
) -> dict[str, Float[NDArray[np.float32], "1 sample"]]:
    """The waveform times 10^(dB/20)."""
    return {"waveform": apply_gain(waveform, gain_db)}
