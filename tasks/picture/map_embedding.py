"""Maps a CLIP embedding into AudioLDM's CLAP space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

if TYPE_CHECKING:
    from svdaudio.models.mapper import Mapper


def run(
    *, embedding: Float[NDArray[np.float32], "768"], mapper: Mapper
) -> dict[str, Float[NDArray[np.float32], "512"]]:
    """The mapper's embedding [512], of unit length, which replaces a CLAP embedding."""
    return {"clap": mapper.map(embedding)}
