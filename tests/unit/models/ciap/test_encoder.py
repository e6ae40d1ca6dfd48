import numpy as np
import pytest
import torch

from svdaudio.errors import CheckpointError
from svdaudio.models.ciap.encoder import CiapNetwork, load_image_encoder, unit
from svdaudio.svd.geometry import Geometry
from svdaudio.weights.own import Header, save_weights

CONFIG = {"widths": [4, 4, 8, 8], "image_size": 32}


@pytest.fixture
def path(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "ciap_image_encoder.safetensors"
    header = Header(role="ciap_image_encoder", architecture="", config=CONFIG, recipe="", recipe_version=1)
    save_weights(path, CiapNetwork(**CONFIG).state_dict(), header)
    return path


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, shape, np.uint8) for shape in ((40, 60, 3), (32, 32, 3), (200, 30, 3))]


def test_pictures_of_any_size_are_unit_vectors(path, pictures):
    encoder = load_image_encoder(path)
    together = encoder.embed(pictures, Geometry.SQUASH)
    assert together.shape == (3, 512)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    alone = encoder.embed(pictures[2:], Geometry.SQUASH)
    np.testing.assert_allclose(alone[0], together[2], atol=1e-5)


def test_geometries_differ_unless_the_picture_is_square(path, pictures):
    encoder = load_image_encoder(path)
    squash, crop = (encoder.embed(pictures, geometry) for geometry in Geometry)
    assert np.array_equal(squash[1], crop[1])
    assert np.abs(squash[0] - crop[0]).max() > 1e-4


def test_zero_stays_zero():
    assert torch.equal(unit(torch.zeros(1, 4)), torch.zeros(1, 4))


def test_weights_of_another_role_are_refused(tmp_path):
    path = tmp_path / "tagger.safetensors"
    header = Header(role="tagger", architecture="", config=CONFIG, recipe="", recipe_version=1)
    save_weights(path, CiapNetwork(**CONFIG).state_dict(), header)
    with pytest.raises(CheckpointError, match="another role"):
        load_image_encoder(path)
