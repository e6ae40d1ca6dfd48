"""Discards the detected objects."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.mixing.owners import dropped


def run(*, embeddings: Float[NDArray[np.float32], "n dim"]) -> dict[str, Float[NDArray[np.float32], "0 dim"]]:
    """Empty CLIP embeddings [0, 768], so that no detected object takes one of SSV2A's slots."""
    return {"embeddings": dropped(embeddings)}
