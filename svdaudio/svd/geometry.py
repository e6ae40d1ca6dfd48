"""One geometry for picture and mask: which pixels belong to which of the 16 x 16 patches.

The published method stretches masks to a square while CLIP crops the picture's centre; on any picture that is
not square the two disagree, and wrong patches are selected. Here both use the same geometry.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image

from svdaudio.errors import ConfigError
from svdaudio.svd.images import Pixels

INPUT_SIZE_PX = 224
PATCH_GRID_SIZE = 16

SquarePixels: TypeAlias = UInt8[NDArray[np.uint8], "side side 3"]
"""A picture that has been fitted to a square."""


class Geometry(StrEnum):
    """How a picture of any shape becomes a square."""

    SQUASH = "squash"
    """The whole picture, stretched."""
    CROP = "crop"
    """CLIP's own preprocessing: the short side resized, the centre kept."""

    @classmethod
    def of(cls, name: str) -> Geometry:
        """The geometry with a name.

        Raises:
            ConfigError: the name is unknown.
        """
        try:
            return cls(name)
        except ValueError as error:
            expected = " or ".join(f"'{g.value}'" for g in cls)
            raise ConfigError("unknown geometry", expected=expected, got=f"'{name}'") from error


def fitted_size_px(height: int, width: int, geometry: Geometry, size_px: int = INPUT_SIZE_PX) -> tuple[int, int]:
    """Height and width after resizing and before any cropping."""
    if geometry is Geometry.SQUASH:
        return size_px, size_px
    short = min(height, width)
    # CLIP's preprocessing truncates the long side.
    return int(size_px * height / short), int(size_px * width / short)


def crop_offset_px(fitted_px: int, size_px: int = INPUT_SIZE_PX) -> int:
    """First pixel that a centre crop keeps."""
    return round((fitted_px - size_px) / 2)


def fit_image(
    pixels: Pixels,
    geometry: Geometry,
    size_px: int = INPUT_SIZE_PX,
    resampling: Image.Resampling = Image.Resampling.BICUBIC,
) -> SquarePixels:
    """Fit a picture to an image encoder's square input, [size, size, 3] uint8; the default filter is CLIP's."""
    height, width = fitted_size_px(pixels.shape[0], pixels.shape[1], geometry, size_px)
    image = Image.fromarray(pixels)
    if (width, height) != image.size:
        image = image.resize((width, height), resampling)
    top, left = crop_offset_px(height, size_px), crop_offset_px(width, size_px)
    return np.array(image.crop((left, top, left + size_px, top + size_px)), dtype=np.uint8)


def pooling_matrices(
    height: int, width: int, geometry: Geometry, n_patches: int = PATCH_GRID_SIZE, size_px: int = INPUT_SIZE_PX
) -> tuple[Float[NDArray[np.float64], "patch height"], Float[NDArray[np.float64], "patch width"]]:
    """Matrices R and C such that R @ mask @ Cᵀ is the share of each patch that the mask covers.

    Bilinear resizing (without a prefilter, pixel centres aligned), cropping and average pooling are all linear and
    separable, so that together they are one small matrix for the rows and one for the columns.

    Args:
        height: rows of the mask.
        width: columns of the mask.
        geometry: the geometry of the picture that the mask belongs to.
        n_patches: patches along a side; divides `size_px`.
        size_px: side of the square that the picture is fitted to.
    """
    fitted = fitted_size_px(height, width, geometry, size_px)
    rows, columns = (
        _pooled_bilinear(length, new, n_patches, size_px) for length, new in zip((height, width), fitted, strict=True)
    )
    return rows, columns


def _pooled_bilinear(length: int, fitted: int, n_patches: int, size_px: int) -> NDArray[np.float64]:
    kept = crop_offset_px(fitted, size_px) + np.arange(size_px)
    source = np.clip((kept + 0.5) * (length / fitted) - 0.5, 0, None)
    first = np.minimum(source.astype(np.int64), length - 1)
    second = np.minimum(first + 1, length - 1)
    share = source - first
    matrix = np.zeros((size_px, length))
    pixel = np.arange(size_px)
    np.add.at(matrix, (pixel, first), 1 - share)
    np.add.at(matrix, (pixel, second), share)
    return matrix.reshape(n_patches, size_px // n_patches, length).mean(axis=1)
