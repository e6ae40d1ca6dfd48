"""Ground truth of a composite, and prompts for the models, for training and evaluation."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svdaudio.mini import farm
from svdaudio.mini.composites import Composite, Rng, depth_within

N_GRID = 16
"""Patches along a side."""
BOX_SIZE = 256
LEAST_VISIBLE_PX = 100
"""Of 256 x 256 pixels; an animal with fewer visible ones is not a target."""


def click(rng: Rng, mask: NDArray[np.bool_], *, deep: bool) -> tuple[int, int]:
    """A pixel (x, y) of a mask: anywhere except on its rim, or well inside it."""
    depth = depth_within(mask)
    least = 0.5 * depth.max() if deep else min(1.5, 0.5 * depth.max())
    rows, columns = np.nonzero(depth > least)
    index = int(rng.integers(rows.size))
    return int(columns[index]), int(rows[index])


def boxes_of(picture: Composite) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Class and box (left, top, right, bottom) of every visible animal."""
    found: list[tuple[int, tuple[int, int, int, int]]] = []
    scale = (picture.pixels.shape[0] / BOX_SIZE) ** 2
    for index, label in enumerate(picture.classes):
        box = picture.box(index)
        if box is not None and int(picture.mask(index).sum()) >= LEAST_VISIBLE_PX * scale:
            found.append((label, box))
    return found


def text_vectors(dim: int = 768) -> Tensor:
    """One unit vector for each of `farm.CLASSES`, and a last one for the background, [10, 768] float32.

    They are rows of the orthonormal DCT-II basis: exact, the same on every machine, orthogonal, and spread over all
    dimensions.
    """
    row = torch.arange(1, len(farm.CLASSES) + 2, dtype=torch.float64)[:, None]
    column = torch.arange(dim, dtype=torch.float64)[None]
    return (math.sqrt(2 / dim) * torch.cos(math.pi * row * 3 * (column + 0.5) / dim)).float()
