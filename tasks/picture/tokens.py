"""Step 2: all CLIP tokens of a picture, and its image embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from svdaudio.svd.geometry import Geometry

if TYPE_CHECKING:
    from svdaudio.models.clip.encoder import ImageEncoder


def run(
    *, pixels: UInt8[NDArray[np.uint8], "height width 3"], geometry: str, image_encoder: ImageEncoder
) -> dict[str, Float[NDArray[np.float32], "..."]]:
    """Tokens [257, 768], CLS first, and the image embedding [768], all L2-normalised."""
    seen = image_encoder.tokens(pixels, Geometry.of(geometry))
    return {"tokens": seen.tokens, "embedding": seen.embedding}
