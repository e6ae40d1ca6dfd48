"""Which labels a sound is nearest to."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.models.sound_clip.matching import match


def run(
    *,
    embedding: Float[NDArray[np.float32], "1 sound_dim"],
    vectors: Float[NDArray[np.float32], "label dim"],
    scale: float,
) -> dict[str, Float[NDArray[np.float32], " label"]]:
    """Cosine with each label, and their softmax, which adds up to 1."""
    found = match(embedding[0], vectors, scale=scale)
    return {"scores": found.scores, "cosines": found.cosines}
