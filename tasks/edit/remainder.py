"""The mask of everything outside the objects."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from svdaudio.mixing.erase import remainder


def run(
    *, masks: Mapping[str, Bool[NDArray[np.bool_], "height width"]], margin: float
) -> dict[str, Bool[NDArray[np.bool_], "height width"]]:
    """Mask of the area outside all masks, after each was grown by a share of the longer side."""
    return {"mask": remainder(masks, margin)}
