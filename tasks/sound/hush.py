"""Silences the rest of a picture if nothing was detected in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

if TYPE_CHECKING:
    from svdaudio.engine.stage import OnNote


def run(
    *, waveform: Float[NDArray[np.float32], "1 sample"], embeddings: Float[NDArray[np.float32], "n dim"], note: OnNote
) -> dict[str, Float[NDArray[np.float32], "1 sample"]]:
    """The waveform, or silence of the same length if no object was detected that could sound."""
    if len(embeddings):
        return {"waveform": waveform}
    note("nothing is detected outside the objects: the rest is silent (--set rest=always makes a sound of it)")
    return {"waveform": np.zeros_like(waveform)}
