"""Removes an object from a picture."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, UInt8
from numpy.typing import NDArray

from svdaudio.mixing.erase import erase


def run(
    *, pixels: UInt8[NDArray[np.uint8], "height width 3"], mask: Bool[NDArray[np.bool_], "height width"], margin: float
) -> dict[str, UInt8[NDArray[np.uint8], "height width 3"]]:
    """The pixels with the region, grown by a share of the longer side, filled with the mean colour outside it."""
    return {"pixels": erase(pixels, mask, margin)}
