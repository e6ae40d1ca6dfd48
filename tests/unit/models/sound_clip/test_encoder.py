"""The sound encoder: its layout, its own format, and the published one."""

from __future__ import annotations

import made_up_files
import numpy as np
import pytest
import torch
from made_up_files import made_up_state

from svdaudio.errors import CheckpointError
from svdaudio.models.sound_clip import published
from svdaudio.models.sound_clip.encoder import SoundEncoderNetwork, load_sound_encoder
from svdaudio.weights.digests import hash_file
from svdaudio.weights.own import Header, save_weights

SMALL = {"widths": [4, 4, 8, 8], "n_dims": 24}
IMAGES = np.random.default_rng(0).random((2, 1, 128, 512), np.float32)


def header(**extra):
    return Header(
        role="sound_encoder", architecture="ResNet-18", config=SMALL, recipe="-", recipe_version=1, extra=extra
    )


@pytest.fixture
def state():
    return made_up_state(SoundEncoderNetwork(**SMALL))


def test_the_layout_is_the_published_one():
    with torch.device("meta"):
        network = SoundEncoderNetwork()
    assert len(network.state_dict()) == 124
    assert sum(value.numel() for value in network.parameters()) == 11_439_198
    assert network(torch.zeros(1, 1, 128, 512, device="meta")).shape == (1, 512)


def test_weights_round_trip_through_a_file(tmp_path, state):
    path = tmp_path / "sound_encoder.safetensors"
    save_weights(path, state, header(preset="corrected"))
    encoder = load_sound_encoder(path)
    assert (encoder.dim, encoder.preset) == (24, "corrected")
    found = encoder.embed(IMAGES)
    assert found.shape == (2, 24)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert np.abs(found[0] - found[1]).max() > 1e-4


@pytest.mark.parametrize("extra", [{}, {"preset": "loud"}])
def test_a_file_without_its_preset_is_refused(tmp_path, state, extra):
    path = tmp_path / "sound_encoder.safetensors"
    save_weights(path, state, header(**extra))
    with pytest.raises(CheckpointError, match="does not name a preset: expected extra preset: corrected or published"):
        load_sound_encoder(path)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_published_format(tmp_path, prefix):
    path = tmp_path / "resnet18_57.pth"
    wanted = made_up_files.write_sgsim(path, prefix=prefix)
    for digest in (None, hash_file(path), hash_file(path)):
        encoder = published.load_sound_encoder(path, digest=digest)
        assert (encoder.dim, encoder.preset) == (512, "published")
        found = encoder.network.state_dict()
        assert found.keys() == wanted.keys()
        assert all(torch.equal(value, wanted[key]) for key, value in found.items())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("conv.bias"), "lacks entry conv.bias"),
        (lambda state: state.update(extra=torch.ones(1)), "unknown entry extra"),
        (lambda state: state.update({"epoch": 57}), "unknown entry epoch"),
        (lambda state: state.update({"feature_extractor.fc.bias": torch.ones(768)}), "wrong shape for feature_ext"),
    ],
)
def test_another_network_is_refused(tmp_path, change, words):
    state = made_up_files.write_sgsim(tmp_path / "x.pth")
    change(state)
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=words):
        published.load_sound_encoder(tmp_path / "x.pth")
