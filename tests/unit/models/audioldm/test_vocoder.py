"""The vocoders: lengths, determinism, and that the trained one is better than the untrained one."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from svdaudio.errors import CheckpointError
from svdaudio.models.audioldm.griffin_lim import griffin_lim, pseudo_inverse
from svdaudio.models.audioldm.magnitude_vocoder import FLOOR, MagnitudeVocoder
from svdaudio.models.audioldm.mel import HOP_LENGTH, log_mel, mel_filters, stft_magnitudes
from svdaudio.models.audioldm.vocoder import load_vocoder, vocode
from svdaudio.places import project_root
from svdaudio.weights.own import load_weights, save_weights

SHIPPED = project_root() / "checkpoints" / "mini" / "vocoder.safetensors"


@pytest.fixture(scope="module")
def chirp():
    """A rising tone of 1.2 s, [1, 19200] at 16 kHz."""
    time_s = torch.arange(19_200) / 16_000
    return (0.5 * torch.sin(2 * torch.pi * (300 + 400 * time_s) * time_s))[None]


def test_griffin_lim_finds_a_sound_of_these_magnitudes(chirp):
    wanted = stft_magnitudes(chirp)
    made = griffin_lim(wanted)
    assert made.shape == chirp.shape
    assert (stft_magnitudes(made) - wanted).norm() < 0.15 * wanted.norm()


def test_the_pseudo_inverse_of_noise_reproduces_its_mel():
    mel = log_mel(0.1 * torch.randn(1, 19_200, generator=torch.Generator().manual_seed(0)))
    again = (pseudo_inverse(mel) @ mel_filters()).log()
    assert (again - mel).abs().mean() < 0.1


def test_an_untrained_correction_leaves_the_pseudo_inverse_unchanged(chirp):
    torch.manual_seed(0)
    network = MagnitudeVocoder(width=8, n_blocks=1, n_rounds=2)
    torch.nn.init.zeros_(network.last.weight)
    torch.nn.init.zeros_(network.last.bias)
    mel = log_mel(chirp)
    assert torch.allclose(network.log_magnitudes(mel).exp(), pseudo_inverse(mel).clamp(min=FLOOR), rtol=1e-5)


def test_it_yields_160_samples_per_frame_and_is_deterministic(chirp):
    torch.manual_seed(0)
    network = MagnitudeVocoder(width=8, n_blocks=1, n_rounds=2).eval()
    mel = log_mel(chirp)
    first = vocode(network, mel)
    assert first.shape == (1, mel.shape[1] * HOP_LENGTH)
    assert torch.equal(first, vocode(network, mel))


def test_a_file_of_an_unknown_architecture_is_refused(tmp_path):
    state, header = load_weights(SHIPPED, role="vocoder")
    save_weights(tmp_path / "other.safetensors", state, dataclasses.replace(header, architecture="somebody.Else"))
    with pytest.raises(CheckpointError, match="unknown architecture"):
        load_vocoder(tmp_path / "other.safetensors")
