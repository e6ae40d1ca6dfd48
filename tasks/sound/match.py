"""Compares a sound with labels in CLIP's space."""

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
    """Cosine similarity with each label, and its softmax over the labels."""
    found = match(embedding[0], vectors, scale=scale)
    return {"scores": found.scores, "cosines": found.cosines}
