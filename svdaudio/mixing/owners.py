"""Assign detected objects to the user's objects."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.mixing.erase import MaskArray, grown

LEAST_SHARE = 0.3
"""Least share of a detected box that a mask has to cover. Animals cover 0.5 to 0.8 of their own boxes."""


def owners(boxes: Float[NDArray[np.float32], "n 4"], masks: Mapping[str, MaskArray], margin: float) -> list[str | None]:
    """For each box, the object whose grown mask covers most of it; None if no mask covers enough.

    Args:
        boxes: left, top, right, bottom in pixels.
        masks: masks of the user's objects.
        margin: how far masks are grown, as a share of the picture's longer side.
    """
    regions = {name: grown(mask, margin) for name, mask in masks.items()}
    found: list[str | None] = []
    for left, top, right, bottom in boxes.tolist():
        rows = slice(max(math.floor(top), 0), max(math.ceil(bottom), 1))
        columns = slice(max(math.floor(left), 0), max(math.ceil(right), 1))
        shares = {name: float(region[rows, columns].mean()) for name, region in regions.items()}
        name = max(shares, key=lambda each: shares[each], default=None)
        found.append(name if name is not None and shares[name] >= LEAST_SHARE else None)
    return found


def dropped(embeddings: Float[NDArray[np.float32], "n dim"]) -> Float[NDArray[np.float32], "0 dim"]:
    """No detected objects: an empty array [0, dim], of the type of `embeddings`."""
    return embeddings[:0]
