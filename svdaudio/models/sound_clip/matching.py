"""Zero-shot classification: finds the texts or pictures nearest to a sound in CLIP's space."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.errors import CheckpointError


class Match(NamedTuple):
    """Similarity of labels to a sound."""

    scores: Float[NDArray[np.float32], " label"]
    """Softmax of the scaled cosines."""
    cosines: Float[NDArray[np.float32], " label"]


def cosines(
    embedding: Float[NDArray[np.float32], " sound_dim"], vectors: Float[NDArray[np.float32], "one dim"]
) -> Float[NDArray[np.float32], " one"]:
    """Cosines of a sound with texts or pictures.

    Args:
        embedding: unit vector of the sound.
        vectors: unit vectors of texts or pictures, by the guide.

    Raises:
        CheckpointError: the sound encoder and the guide have different spaces.
    """
    if len(embedding) != vectors.shape[1]:
        raise CheckpointError(
            "the sound encoder and the guide of the bundle have different spaces",
            expected=f"{vectors.shape[1]} dimensions, as in the guide",
            got=len(embedding),
            fix="use a pair that was trained together, such as sgsim-resnet18 and clip-vit-b-32",
        )
    return vectors @ embedding


def match(
    embedding: Float[NDArray[np.float32], " sound_dim"],
    vectors: Float[NDArray[np.float32], "label dim"],
    *,
    scale: float,
) -> Match:
    """Cosine and probability of each label for a sound.

    Args:
        embedding: unit vector of the sound.
        vectors: unit vectors of the labels.
        scale: factor of the cosines before the softmax.

    Raises:
        CheckpointError: as of `cosines`.
    """
    found = cosines(embedding, vectors)
    weights = np.exp(scale * (found.astype(np.float64) - found.max()))
    return Match((weights / weights.sum()).astype(np.float32), found)
