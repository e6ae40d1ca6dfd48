"""Keeps the detected objects that do not belong to an absent object."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from svdaudio.mixing.owners import owners


def run(
    *,
    boxes: Float[NDArray[np.float32], "n 4"],
    embeddings: Float[NDArray[np.float32], "n dim"],
    absent: Mapping[str, Bool[NDArray[np.bool_], "height width"]],
    present: Mapping[str, Bool[NDArray[np.bool_], "height width"]],
    margin: float,
) -> dict[str, Float[NDArray[np.float32], "kept dim"]]:
    """CLIP embeddings [kept, 768] of the detected objects that remain without the user's absent objects."""
    whose = owners(boxes, {**absent, **present}, margin)
    return {"embeddings": embeddings[[name not in absent for name in whose]]}
