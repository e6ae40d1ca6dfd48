"""The embedding of a picture in AudioLDM's CLAP space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from svdaudio.svd.geometry import Geometry

if TYPE_CHECKING:
    from svdaudio.models.ciap.encoder import CiapImageEncoder


def run(
    *, pixels: UInt8[NDArray[np.uint8], "height width 3"], geometry: str, ciap_image_encoder: CiapImageEncoder
) -> dict[str, Float[NDArray[np.float32], "512"]]:
    """CIAP's embedding [512], of unit length, which replaces a CLAP embedding."""
    return {"clap": ciap_image_encoder.embed([pixels], Geometry.of(geometry))[0]}
