"""Step 8, choice by the user: selects a candidate by its number, at 22 050 Hz."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.memory_layout import to_tensor
from svdaudio.models.audioldm.choose import at_output_rate


def run(
    *, waveforms: Float[NDArray[np.float32], "candidate sample"], number: int, duration_s: float
) -> dict[str, Float[NDArray[np.float32], "1 longer"]]:
    """Waveform [1, sample] of candidate `number`, counted from 1."""
    return {"waveform": at_output_rate(to_tensor(waveforms)[number - 1], duration_s=duration_s).numpy()}
