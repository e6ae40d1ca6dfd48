"""Step 3: finds the patches that a mask covers."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from svdaudio.svd.align import align_mask
from svdaudio.svd.geometry import Geometry


def run(*, mask: Bool[NDArray[np.bool_], "height width"], geometry: str, threshold: float) -> dict[str, NDArray[Any]]:
    """Coverage [256] of each patch, 0 to 1, and the grid [256] of the patches that reach the threshold."""
    region = align_mask(mask, Geometry.of(geometry), threshold)
    return {"coverage": region.coverage, "grid": region.grid}
