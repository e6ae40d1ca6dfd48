"""Decodes a picture and turns it upright."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from svdaudio.svd.images import load_image


def run(*, file: Path) -> dict[str, UInt8[NDArray[np.uint8], "height width 3"]]:
    """The pixels [height, width, 3] of a picture file."""
    return {"pixels": load_image(file)}
