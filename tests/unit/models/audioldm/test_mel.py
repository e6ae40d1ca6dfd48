import numpy as np
import pytest
import torch

from svdaudio.models.audioldm.mel import FLOOR, HOP_LENGTH, N_FFT, N_MELS, SAMPLE_RATE_HZ, log_mel


def test_one_frame_every_160_samples():
    assert log_mel(torch.zeros(2, 163_840)).shape == (2, 1024, N_MELS)


def test_silence_is_the_floor():
    assert torch.allclose(log_mel(torch.zeros(1, 8000)), torch.tensor(FLOOR).log())


@pytest.mark.parametrize("frequency_hz", [200.0, 1000.0, 5000.0])
def test_a_tone_is_loudest_in_the_band_around_it(frequency_hz):
    tone = torch.sin(2 * np.pi * frequency_hz * torch.arange(16_000) / SAMPLE_RATE_HZ)[None]
    band = int(log_mel(tone)[0, 50].argmax())
    # Slaney's scale: linear below 1 kHz (200/3 Hz a mel), logarithmic above
    edges = np.linspace(0, 15 + np.log(8) / (np.log(6.4) / 27), N_MELS + 2)
    centres_hz = np.where(edges < 15, edges * 200 / 3, 1000 * np.exp((edges - 15) * np.log(6.4) / 27))[1:-1]
    assert abs(band - int(np.abs(centres_hz - frequency_hz).argmin())) <= 1


def test_a_click_is_at_its_frame():
    click = torch.zeros(1, 16_000)
    click[0, 40 * HOP_LENGTH] = 1.0
    energy = log_mel(click)[0].exp().sum(dim=1)
    assert int(energy.argmax()) == 40
    assert float(energy[40 + N_FFT // HOP_LENGTH]) < 1e-2 * float(energy[40])
