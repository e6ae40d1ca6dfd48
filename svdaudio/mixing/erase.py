"""Erase objects from pictures, and combine and grow their masks."""

from __future__ import annotations

import math
from collections.abc import Mapping

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

from svdaudio.errors import EmptyRegionError, InputError

MaskArray = Bool[NDArray[np.bool_], "height width"]
PixelArray = UInt8[NDArray[np.uint8], "height width 3"]


def grown(mask: MaskArray, margin: float) -> MaskArray:
    """A mask, grown by a margin.

    Args:
        mask: the mask.
        margin: radius of growth, as a share of the picture's longer side.
    """
    radius = math.ceil(margin * max(mask.shape))
    if not radius:
        return mask
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(mask.astype(np.uint8), disc) > 0


def united(masks: Mapping[str, MaskArray]) -> MaskArray:
    """The union of masks of one picture.

    Raises:
        InputError: their sizes differ, or no mask is given.
    """
    if len({mask.shape for mask in masks.values()}) != 1:
        shapes = ", ".join(f"{name} {mask.shape[1]} x {mask.shape[0]}" for name, mask in masks.items())
        raise InputError("the masks belong to different pictures", expected="one size", got=shapes or "no mask")
    return np.logical_or.reduce(list(masks.values()))


def remainder(masks: Mapping[str, MaskArray], margin: float) -> MaskArray:
    """Everything outside the objects and their margins.

    Raises:
        EmptyRegionError: nothing is outside.
        InputError: see `united`.
    """
    mask = ~grown(united(masks), margin)
    if not mask.any():
        raise EmptyRegionError("the objects cover the whole picture: there is no rest", fix="omit the gain of 'rest'")
    return mask


def leftover(
    mask: Bool[NDArray[np.bool_], "original_height original_width"],
    added: Mapping[str, MaskArray],
    size: tuple[int, int],
    margin: float,
) -> MaskArray:
    """A region of one picture in the pixels of another, without the objects added there; it may be empty.

    Args:
        mask: mask of the region, in the first picture.
        added: masks of the objects that the other picture shows instead.
        size: height and width of the other picture, to which the mask is scaled.
        margin: how far the added masks are grown, as a share of the picture's longer side.
    """
    height, width = size
    there = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    return there & ~grown(united(added), margin) if added else there


def erase(pixels: PixelArray, mask: MaskArray, margin: float) -> PixelArray:
    """A picture with a region filled with the mean colour of the pixels outside.

    Blurring (σ = 60 px) or inpainting (Telea) the region gives embeddings of the same effect to 0.01.

    Args:
        pixels: the upright picture.
        mask: the region.
        margin: how far beyond the region to fill, as a share of the picture's longer side.
    """
    filled = grown(mask, margin)
    erased = pixels.copy()
    outside = pixels[~filled]
    erased[filled] = np.rint(outside.mean(axis=0)).astype(np.uint8) if len(outside) else 128
    return erased


def bounding_box(mask: MaskArray) -> Float[NDArray[np.float32], "1 4"]:
    """Left, top, right and bottom (exclusive) of a mask in pixels.

    Raises:
        EmptyRegionError: the mask is empty.
    """
    rows, columns = np.nonzero(mask)
    if not len(rows):
        raise EmptyRegionError("the mask is empty", fix="click on the object")
    return np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
