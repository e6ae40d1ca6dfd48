"""Reads a sound file of the user, cut or padded to the duration of the run's sounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.engine.stage import OnNote
from svdaudio.sounds.fitting import fit
from svdaudio.sounds.reading import read_sound


def run(*, file: Path, duration_s: float, note: OnNote) -> dict[str, Float[NDArray[np.float32], "1 sample"]]:
    """Waveform [1, sample] at 22 050 Hz."""
    fitted = fit(*read_sound(file), duration_s=duration_s)
    for remark in fitted.remarks:
        note(remark)
    return {"waveform": fitted.waveform}
