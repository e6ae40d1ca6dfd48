"""Spectral distances between sounds, for training and evaluating vocoders."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

RESOLUTIONS = ((2048, 512), (1024, 256), (512, 128), (256, 64))  # points, hop
_FLOOR = 1e-4


def magnitudes(waveforms: Float[Tensor, "batch sample"], n_fft: int, hop: int) -> Float[Tensor, "batch bin frame"]:
    """STFT magnitudes with a Hann window, not below 1e-4."""
    window = torch.hann_window(n_fft, device=waveforms.device)
    spectrum = torch.stft(waveforms, n_fft, hop, window=window, return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square()).clamp(min=_FLOOR**2).sqrt()


def stft_distance(a: Float[Tensor, "batch sample"], b: Float[Tensor, "batch sample"]) -> Float[Tensor, ""]:
    """Multi-resolution STFT distance (arXiv 1910.11480): spectral convergence plus log-magnitude L1, averaged."""
    total = a.new_zeros(())
    for n_fft, hop in RESOLUTIONS:
        made, target = magnitudes(a, n_fft, hop), magnitudes(b, n_fft, hop)
        total = total + (made - target).norm() / target.norm() + (made.log() - target.log()).abs().mean()
    return total / len(RESOLUTIONS)
