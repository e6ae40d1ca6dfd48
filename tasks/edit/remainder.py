"""The mask of what is in no object."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from svdaudio.mixing.erase import remainder


def run(
    *, masks: Mapping[str, Bool[NDArray[np.bool_], "height width"]], margin: float
) -> dict[str, Bool[NDArray[np.bool_], "height width"]]:
    """Everything outside the masks, each grown by a share of the longer side."""
    return {"mask": remainder(masks, margin)}
