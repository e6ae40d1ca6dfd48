"""Step 3: project a mask onto the 16 x 16 patches of CLIP.

Coverage is the share of a patch that the mask covers: the mask resized bilinearly to 224 x 224 in the picture's
geometry, then averaged over 14 x 14 pixels. Plain numpy, so that changing the threshold is fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy.typing import NDArray

from svdaudio.errors import ConfigError, EmptyRegionError, InputError
from svdaudio.svd.geometry import INPUT_SIZE_PX, PATCH_GRID_SIZE, Geometry, pooling_matrices


@dataclass(frozen=True, kw_only=True)
class Region:
    """A mask projected onto the patches, row by row."""

    coverage: Float[NDArray[np.float32], " patch"]
    """Share of each patch that the mask covers, 0 to 1."""
    grid: Bool[NDArray[np.bool_], " patch"]
    """Coverage ≥ threshold."""


ROUNDING = 1e-6
"""How far a share may lie outside 0 to 1: the rounding error of resizing a mask in float32."""


def check_mask(mask: Shaped[NDArray[Any], "..."]) -> None:
    """Refuse a mask that does not hold truth values or shares.

    Raises:
        InputError: it holds NaN, infinity, or numbers that are not between 0 and 1, such as logits or grey values.
    """
    expected = "truth values, or shares from 0 to 1"
    if mask.dtype.kind not in "biuf":
        raise InputError("the mask does not hold numbers", expected=expected, got=mask.dtype)
    if mask.dtype.kind == "b" or mask.size == 0:
        return
    if not np.isfinite(mask).all():
        raise InputError("the mask holds numbers that are not finite", expected=expected, got="NaN or infinity")
    low, high = float(mask.min()), float(mask.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise InputError(
            "the mask holds numbers outside 0 to 1",
            expected=expected,
            got=f"{low:g} to {high:g}",
            fix="compare logits with 0, divide grey values by 255",
        )


def patch_coverage(
    mask: Shaped[NDArray[Any], "height width"], geometry: Geometry, n_patches: int = PATCH_GRID_SIZE
) -> Float[NDArray[np.float32], " patch"]:
    """The share of each patch that a mask covers.

    Args:
        mask: one value for each pixel of the upright picture: truth values, or shares from 0 to 1.
        geometry: the geometry of the picture's tokens.
        n_patches: patches along a side; divides 224.

    Raises:
        InputError: the mask is not a matrix or has no pixels; or see `check_mask`.
        ConfigError: `n_patches` does not divide 224.
    """
    if mask.ndim != 2 or mask.size == 0:
        raise InputError("the mask is not a matrix of pixels", expected="[height, width]", got=list(mask.shape))
    check_mask(mask)
    if not 1 <= n_patches <= INPUT_SIZE_PX or INPUT_SIZE_PX % n_patches:
        raise ConfigError("the patch grid does not fit", expected=f"a divisor of {INPUT_SIZE_PX}", got=n_patches)
    height, width = mask.shape
    rows, columns = pooling_matrices(height, width, geometry, n_patches)
    share = rows @ mask.astype(np.float64) @ columns.T
    # Sums are float64 and rounded once: a patch that is exactly half covered compares as 0.5.
    return np.clip(share, 0, 1).astype(np.float32).reshape(-1)


def check_threshold(threshold: float) -> None:
    """Refuse an invalid threshold.

    Raises:
        ConfigError: it is not in 0 < threshold ≤ 1.
    """
    if not 0 < threshold <= 1:
        raise ConfigError("the mask threshold is invalid", expected="0 < threshold <= 1", got=threshold)


def covered(coverage: Float[NDArray[np.float32], " patch"], threshold: float) -> Bool[NDArray[np.bool_], " patch"]:
    """The patches that count as inside.

    Raises:
        ConfigError: the threshold is invalid.
    """
    check_threshold(threshold)
    return coverage >= np.float32(threshold)


def align_mask(mask: Shaped[NDArray[Any], "height width"], geometry: Geometry, threshold: float) -> Region:
    """The patches that a mask covers.

    Args:
        mask: one value for each pixel of the upright picture.
        geometry: the geometry of the picture's tokens.
        threshold: coverage that counts as inside, 0 < threshold ≤ 1; 0.4 to 0.6 recommended.

    Raises:
        EmptyRegionError: no patch reaches the threshold.
        InputError: see `patch_coverage`.
        ConfigError: the threshold is invalid.
    """
    coverage = patch_coverage(mask, geometry)
    grid = covered(coverage, threshold)
    if not grid.any():
        best = int(coverage.argmax())
        row, column = divmod(best, PATCH_GRID_SIZE)
        raise EmptyRegionError(
            f"the mask covers no patch: largest coverage {coverage[best]:.2f} at ({row}, {column}), "
            f"threshold {threshold:g}",
            fix="click on the object, or lower align.threshold",
        )
    return Region(coverage=coverage, grid=grid)
