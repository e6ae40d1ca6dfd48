"""The CLIP embedding of one object, cropped from its picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, UInt8
from numpy.typing import NDArray

from svdaudio.mixing.erase import bounding_box
from svdaudio.models.yolo.detector import embed_boxes

if TYPE_CHECKING:
    from svdaudio.models.clip.encoder import ImageEncoder


def run(
    *,
    pixels: UInt8[NDArray[np.uint8], "height width 3"],
    mask: Bool[NDArray[np.bool_], "height width"],
    image_encoder: ImageEncoder,
) -> dict[str, NDArray[Any]]:
    """The embedding [768] of the mask's bounding box, and the same as a list of one detected object [1, 768]."""
    embeddings = embed_boxes(pixels, bounding_box(mask), image_encoder)
    return {"embedding": embeddings[0], "embeddings": embeddings}
