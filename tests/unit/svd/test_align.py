"""Alignment of masks with patches."""

from __future__ import annotations

import numpy as np
import pytest

from svdaudio.errors import ConfigError, EmptyRegionError, InputError
from svdaudio.svd.align import align_mask, patch_coverage
from svdaudio.svd.geometry import Geometry


def test_patches_are_in_row_major_order():
    mask = np.zeros((448, 448), bool)
    mask[5 * 28 : 6 * 28, 11 * 28 : 12 * 28] = True
    region = align_mask(mask, Geometry.SQUASH, 0.5)
    assert np.flatnonzero(region.grid).tolist() == [5 * 16 + 11]
    assert region.coverage[5 * 16 + 11] > 0.9


def test_a_patch_that_is_exactly_half_covered_counts_at_one_half():
    mask = np.zeros((224, 224), bool)
    mask[:, 112:119] = True
    region = align_mask(mask, Geometry.SQUASH, 0.5)
    assert region.grid.sum() == 16
    assert region.coverage[8] == np.float32(0.5)


def test_crop_ignores_the_sides():
    mask = np.zeros((100, 300), bool)
    mask[:, :90] = True
    assert patch_coverage(mask, Geometry.SQUASH).max() == 1
    with pytest.raises(EmptyRegionError):
        align_mask(mask, Geometry.CROP, 0.5)


def test_the_error_of_an_empty_region_names_the_largest_coverage():
    mask = np.zeros((224, 224), bool)
    mask[5 * 14 : 5 * 14 + 7, 11 * 14 : 12 * 14] = True
    with pytest.raises(EmptyRegionError) as caught:
        align_mask(mask, Geometry.SQUASH, 0.6)
    assert str(caught.value) == (
        "the mask covers no patch: largest coverage 0.50 at (5, 11), threshold 0.6. "
        "Click on the object, or lower align.threshold."
    )


@pytest.mark.parametrize("threshold", [0, -1, 1.01, float("nan")])
def test_an_invalid_threshold_is_refused(threshold):
    with pytest.raises(ConfigError, match="threshold"):
        align_mask(np.ones((20, 20), bool), Geometry.SQUASH, threshold)


def test_a_whole_mask_covers_everything():
    assert align_mask(np.ones((33, 47), bool), Geometry.SQUASH, 1.0).grid.all()


NOT_A_MASK = {
    "NaN": lambda m: np.where(m, np.nan, 0.0),
    "one NaN outside": lambda m: np.where(np.arange(m.size).reshape(m.shape) == 3, np.nan, m),
    "infinity": lambda m: np.where(m, np.inf, 0.0),
    "logits": lambda m: np.where(m, 9.5, -12.0).astype(np.float32),
    "grey values": lambda m: m.astype(np.uint8) * 255,
    "negative": lambda m: -m.astype(np.int64),
    "words": lambda m: np.full(m.shape, "yes"),
    "complex": lambda m: m.astype(complex),
    "objects": lambda m: m.astype(object),
}


@pytest.mark.parametrize("kind", NOT_A_MASK)
def test_a_mask_holds_booleans_or_fractions(kind):
    mask = np.zeros((30, 40), bool)
    mask[10:, 10:] = True
    with pytest.raises(InputError, match=r"the mask .*expected truth values, or shares from 0 to 1, got"):
        align_mask(NOT_A_MASK[kind](mask), Geometry.SQUASH, 0.5)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16, np.float32, np.float64])
def test_a_numeric_mask_equals_the_boolean_one(dtype):
    mask = np.zeros((30, 40), bool)
    mask[10:, 10:] = True
    wanted = align_mask(mask, Geometry.SQUASH, 0.5)
    assert np.array_equal(align_mask(mask.astype(dtype), Geometry.SQUASH, 0.5).coverage, wanted.coverage)
    rounded = mask * np.float32(1 + 1e-7) - np.float32(1e-7)
    assert np.array_equal(align_mask(rounded, Geometry.SQUASH, 0.5).grid, wanted.grid)


@pytest.mark.usefixtures("unchecked_shapes")
def test_a_mask_has_two_dimensions_and_the_grid_divides_the_square():
    with pytest.raises(InputError, match="not a matrix of pixels"):
        patch_coverage(np.zeros((1, 20, 20)), Geometry.SQUASH)
    with pytest.raises(ConfigError, match="divisor of 224"):
        patch_coverage(np.zeros((20, 20)), Geometry.SQUASH, 15)
