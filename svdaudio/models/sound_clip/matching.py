"""Zero-shot classification: which texts or pictures are nearest to a sound in CLIP's space."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.errors import CheckpointError


class Match(NamedTuple):
    """How near labels are to a sound."""

    scores: Float[NDArray[np.float32], " label"]
    """Softmax of the scaled cosines."""
    cosines: Float[NDArray[np.float32], " label"]


def cosines(
    embedding: Float[NDArray[np.float32], " sound_dim"], vectors: Float[NDArray[np.float32], "one dim"]
) -> Float[NDArray[np.float32], " one"]:
    """Cosines of a sound with texts or pictures.

    Args:
        embedding: of the sound, of unit length.
        vectors: of the guide, of unit length.

    Raises:
        CheckpointError: the sound encoder and the guide belong to different spaces.
    """
    if len(embedding) != vectors.shape[1]:
        raise CheckpointError(
            "the sound encoder and the guide of the bundle belong to different spaces",
            expected=f"{vectors.shape[1]} dimensions, those of the guide",
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
    """How near each label is to a sound.

    Args:
        embedding: of the sound, of unit length.
        vectors: of the labels, of unit length.
        scale: by which cosines are multiplied before the softmax.

    Raises:
        CheckpointError: as of `cosines`.
    """
    found = cosines(embedding, vectors)
    weights = np.exp(scale * (found.astype(np.float64) - found.max()))
    return Match((weights / weights.sum()).astype(np.float32), found)
