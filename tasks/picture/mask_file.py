"""Step 1: reads the mask of an object from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from numpy.typing import NDArray

from svdaudio.svd.masks import check_mask_size, load_mask


def run(
    *, file: Path, pixels: UInt8[NDArray[np.uint8], "height width 3"]
) -> dict[str, Bool[NDArray[np.bool_], "height width"]]:
    """Mask [height, width], of the size of the picture."""
    mask = load_mask(file)
    check_mask_size(mask.shape[::-1], pixels.shape[1::-1], mask=str(file), picture="the picture")
    return {"mask": mask}
