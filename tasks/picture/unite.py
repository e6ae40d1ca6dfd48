"""Step 1: unites several objects into one region."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray


def run(
    *, masks: Mapping[str, Bool[NDArray[np.bool_], "height width"]]
) -> dict[str, Bool[NDArray[np.bool_], "height width"]]:
    """Mask [height, width] of the union of all objects."""
    return {"mask": np.logical_or.reduce(list(masks.values()))}
