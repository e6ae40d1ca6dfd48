"""The CLIP embedding of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

if TYPE_CHECKING:
    from svdaudio.models.clip.encoder import ImageEncoder


def run(
    *, pixels: UInt8[NDArray[np.uint8], "height width 3"], image_encoder: ImageEncoder
) -> dict[str, Float[NDArray[np.float32], "768"]]:
    """The image embedding [768] in CLIP's own geometry, L2-normalised."""
    return {"embedding": image_encoder.embed([pixels])[0]}
