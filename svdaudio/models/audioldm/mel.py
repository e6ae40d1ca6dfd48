"""AudioLDM's log-mel spectrogram: 16 kHz, 1024-point Hann frames every 160 samples, 64 mel bands up to 8 kHz."""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float
from torch import Tensor
from torchaudio.functional import melscale_fbanks

from svdaudio.sounds.rates import VOCODER_RATE_HZ

SAMPLE_RATE_HZ = VOCODER_RATE_HZ
N_FFT = 1024
HOP_LENGTH = 160
N_MELS = 64
MAX_FREQUENCY_HZ = 8000.0
FLOOR = 1e-5  # lower bound of magnitudes, so that the logarithm is bounded


@functools.cache
def mel_filters() -> Tensor:
    """Slaney mel filters of unit area, [513, 64], as in the HiFi-GAN family."""
    return melscale_fbanks(
        N_FFT // 2 + 1, 0.0, MAX_FREQUENCY_HZ, N_MELS, SAMPLE_RATE_HZ, norm="slaney", mel_scale="slaney"
    )


@functools.cache
def _window() -> Tensor:
    return torch.hann_window(N_FFT)


def stft_magnitudes(waveforms: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch frame 513"]:
    """STFT magnitudes of `waveforms` at 16 kHz, one frame per 160 samples.

    Frame i is centred on sample 160 i; the frame centred on the end is omitted, as in AudioLDM.
    """
    spectrum = torch.stft(
        waveforms,
        N_FFT,
        HOP_LENGTH,
        window=_window().to(waveforms),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    return spectrum.abs().transpose(1, 2)[:, : waveforms.shape[1] // HOP_LENGTH]


def log_mel(waveforms: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch frame mel"]:
    """Natural logarithm of the mel magnitudes of `waveforms` at 16 kHz, one frame per 160 samples."""
    return (stft_magnitudes(waveforms) @ mel_filters().to(waveforms)).clamp(min=FLOOR).log()
