"""Step 1: several objects as one region."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray


def run(
    *, masks: Mapping[str, Bool[NDArray[np.bool_], "height width"]]
) -> dict[str, Bool[NDArray[np.bool_], "height width"]]:
    """Mask [height, width] of what lies in any of the objects."""
    return {"mask": np.logical_or.reduce(list(masks.values()))}
