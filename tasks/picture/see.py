"""The embedding of a picture in CLIP's space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

if TYPE_CHECKING:
    from svdaudio.models.clip.guide import Guide


def run(
    *, pixels: UInt8[NDArray[np.uint8], "height width 3"], guide: Guide
) -> dict[str, Float[NDArray[np.float32], "1 dim"]]:
    """The embedding [1, dim] in CLIP's own geometry, of unit length."""
    return {"embedding": guide.embed_pictures([pixels])}
