"""Step 8, finish: removes offset and clicks from the chosen sound, and sets its loudness."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.engine.stage import OnNote
from svdaudio.sounds.finish import finish
from svdaudio.sounds.rates import OUTPUT_RATE_HZ


def run(
    *, waveform: Float[NDArray[np.float32], "1 sample"], loudness_lufs: float, true_peak_db: float, note: OnNote
) -> dict[str, NDArray[Any]]:
    """Waveform [1, sample], its integrated loudness in LUFS (-70 for silence), and the applied gain in dB."""
    made = finish(waveform, OUTPUT_RATE_HZ, loudness_lufs=loudness_lufs, true_peak_db=true_peak_db)
    for remark in made.remarks:
        note(remark)
    return {
        "waveform": made.waveform,
        "loudness_lufs": np.array(made.loudness_lufs, np.float32),
        "gain_db": np.array(made.gain_db, np.float32),
    }
