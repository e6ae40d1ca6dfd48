"""The sum of the stems."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.mixing.mixdown import mixdown


def run(
    *, waveforms: Mapping[str, Float[NDArray[np.float32], "1 sample"]]
) -> dict[str, Float[NDArray[np.float32], "1 sample"]]:
    """The sum, sample by sample."""
    return {"waveform": mixdown(waveforms)}
