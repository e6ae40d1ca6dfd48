"""Several masks of one picture as one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from svdaudio.mixing.erase import united


def run(
    *, masks: Mapping[str, Bool[NDArray[np.bool_], "height width"]]
) -> dict[str, Bool[NDArray[np.bool_], "height width"]]:
    """The union of the masks."""
    return {"mask": united(masks)}
