"""The part of the removed region that the edited picture still shows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, UInt8
from numpy.typing import NDArray

from svdaudio.mixing.erase import leftover


def run(
    *,
    mask: Bool[NDArray[np.bool_], "original_height original_width"],
    added: Mapping[str, Bool[NDArray[np.bool_], "height width"]],
    pixels: UInt8[NDArray[np.uint8], "height width 3"],
    margin: float,
) -> dict[str, Bool[NDArray[np.bool_], "height width"]]:
    """Mask of the removed region in the edited picture, without the added objects and their margins."""
    height, width = pixels.shape[:2]
    return {"mask": leftover(mask, added, (height, width), margin)}
