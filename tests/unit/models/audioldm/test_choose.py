import numpy as np
import pytest
import torch

from svdaudio.models.audioldm.choose import choose
from svdaudio.sounds.rates import OUTPUT_RATE_HZ


class Loudness:
    """An encoder whose embeddings rotate with the loudness."""

    def embed(self, waveforms, sample_rate_hz):
        assert sample_rate_hz == 16_000
        angle = waveforms.abs().amax(dim=1)
        return torch.stack([angle.cos(), angle.sin(), *[torch.zeros_like(angle)] * 510], dim=1)


def tones(*peaks, seconds=10.24, frequency_hz=440.0):
    wave = torch.sin(2 * np.pi * frequency_hz * torch.arange(round(seconds * 16_000)) / 16_000)
    return torch.tensor(peaks)[:, None] * wave


def wanted(angle):
    return torch.nn.functional.pad(torch.tensor([np.cos(angle), np.sin(angle)], dtype=torch.float32), (0, 510))


def test_the_nearest_candidate_is_kept_at_the_output_rate():
    kept = choose(Loudness(), tones(0.1, 0.5, 0.9), wanted(0.5), duration_s=10.0)
    assert int(kept.choice) == 1
    assert kept.similarity.argmax() == 1
    assert kept.waveform.shape == (1, 220_500)
    assert float(kept.waveform.abs().max()) == pytest.approx(0.5, abs=0.01)
    spectrum = np.abs(np.fft.rfft(kept.waveform[0].numpy()))
    assert spectrum.argmax() / 10.0 == pytest.approx(440.0, abs=0.2)


def test_peaks_above_1_are_scaled_and_not_clipped():
    kept = choose(Loudness(), tones(1.5), wanted(1.5), duration_s=5.0)
    assert kept.waveform.shape == (1, 5 * OUTPUT_RATE_HZ)
    assert float(kept.waveform.abs().max()) == pytest.approx(0.99, abs=1e-3)
    assert float((kept.waveform.abs() > 0.985).float().mean()) < 0.2
