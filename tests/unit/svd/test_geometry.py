"""One geometry for picture and mask."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from svdaudio.errors import ConfigError
from svdaudio.svd.geometry import Geometry, crop_offset_px, fit_image, fitted_size_px, pooling_matrices

SHAPES = [(224, 224), (300, 400), (401, 223), (64, 50), (768, 1024)]


@pytest.mark.parametrize("geometry", Geometry)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_picture_becomes_a_square(geometry, shape):
    assert fit_image(np.zeros((*shape, 3), np.uint8), geometry).shape == (224, 224, 3)


def test_a_square_of_the_right_size_is_unchanged():
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    for geometry in Geometry:
        assert np.array_equal(fit_image(pixels, geometry), pixels)


def test_crop_keeps_the_centre_and_squash_the_edges():
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:, :60] = 255
    assert fit_image(pixels, Geometry.CROP).max() < 10
    assert fit_image(pixels, Geometry.SQUASH)[:, 0].min() > 245


@pytest.mark.parametrize("geometry", Geometry)
@pytest.mark.parametrize("shape", [(512, 768), (900, 448)])
def test_mask_and_picture_agree_on_the_patches(geometry, shape):
    """A white ellipse, seen as a picture and as a mask, lies on the same patches."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    mask = ((y / shape[0] - 0.6) / 0.2) ** 2 + ((x / shape[1] - 0.45) / 0.15) ** 2 < 1
    picture = np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255
    seen = fit_image(picture, geometry)[..., 0].reshape(16, 14, 16, 14).mean(axis=(1, 3)) / 255
    rows, columns = pooling_matrices(*shape, geometry)
    assert np.abs(rows @ mask.astype(float) @ columns.T - seen).max() < 0.02


@pytest.mark.parametrize("geometry", Geometry)
@pytest.mark.parametrize("shape", [*SHAPES, (16, 16384)])
def test_pooling_is_an_average(geometry, shape):
    for matrix, length in zip(pooling_matrices(*shape, geometry), shape, strict=True):
        assert matrix.shape == (16, length)
        assert matrix.min() >= 0
        np.testing.assert_allclose(matrix.sum(axis=1), 1)


def test_crop_has_the_size_of_clip_preprocessing():
    assert fitted_size_px(333, 500, Geometry.CROP) == (224, 336)
    assert fitted_size_px(500, 333, Geometry.CROP) == (336, 224)
    assert crop_offset_px(336) == 56
    image = fit_image(np.zeros((333, 500, 3), np.uint8), Geometry.CROP)
    assert Image.fromarray(image).size == (224, 224)


def test_an_unknown_geometry_lists_the_known_ones():
    assert Geometry.of("crop") is Geometry.CROP
    with pytest.raises(ConfigError, match="'squash' or 'crop'"):
        Geometry.of("stretch")
