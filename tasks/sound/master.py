"""The gain that brings the sum of the stems to a given loudness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.mixing.mixdown import master_gain
from svdaudio.sounds.rates import OUTPUT_RATE_HZ

if TYPE_CHECKING:
    from svdaudio.engine.stage import OnNote


def run(
    *,
    waveforms: Mapping[str, Float[NDArray[np.float32], "1 sample"]],
    loudness_lufs: float,
    true_peak_db: float,
    note: OnNote,
) -> dict[str, Float[NDArray[np.float32], ""]]:
    """One gain in dB for all stems, so that their ratios are preserved exactly."""
    gain_db, remarks = master_gain(waveforms, OUTPUT_RATE_HZ, loudness_lufs=loudness_lufs, true_peak_db=true_peak_db)
    for remark in remarks:
        note(remark)
    return {"gain_db": np.array(gain_db, np.float32)}
