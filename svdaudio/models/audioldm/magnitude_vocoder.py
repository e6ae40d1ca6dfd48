"""A small vocoder: a network predicts magnitudes from mel bands, and fast Griffin-Lim finds their phases.

Frames of 1024 points at a hop of 160 overlap more than six times, so magnitudes almost determine the sound: with the
true ones, Griffin-Lim's error is a quarter of that with the pseudo-inverse of the mel filters. Only the mapping from 64
bands to 513 magnitudes has to be learned, which takes minutes; a network that generates samples needs days.
AudioLDM's own vocoder is a HiFi-GAN (`svdaudio.models.audioldm.vocoder`).
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from svdaudio.models.audioldm.griffin_lim import griffin_lim, pseudo_inverse
from svdaudio.models.audioldm.mel import N_FFT, N_MELS

N_BINS = N_FFT // 2 + 1
FLOOR = 1e-4
"""Smallest magnitude in the network's initial estimate; silence is below it."""


class MagnitudeVocoder(nn.Module):
    """Log-mel to sound at 16 kHz, deterministic.

    Args:
        width: channels of the network.
        n_blocks: number of ConvNeXt blocks (Liu et al. 2022), each spanning 7 frames.
        n_rounds: iterations of Griffin-Lim.
    """

    def __init__(self, *, width: int, n_blocks: int, n_rounds: int) -> None:
        super().__init__()
        self.n_rounds = n_rounds
        self.first = nn.Conv1d(N_MELS, width, 7, padding=3)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(n_blocks))
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, N_BINS)
        with torch.no_grad():
            self.last.weight.mul_(0.1)  # start near the pseudo-inverse

    def log_magnitudes(self, log_mel: Float[Tensor, "batch frame 64"]) -> Float[Tensor, "batch frame 513"]:
        """Natural logarithm of the STFT magnitudes: those of the pseudo-inverse, corrected by the network."""
        # log-mels have a mean of about -5 and a standard deviation of about 3
        x = self.first((log_mel.transpose(1, 2) + 5) / 3).transpose(1, 2)
        for block in self.blocks:
            x = cast("Tensor", block(x))
        return pseudo_inverse(log_mel).clamp(min=FLOOR).log() + self.last(self.norm(x))

    def forward(self, log_mel: Float[Tensor, "batch frame 64"]) -> Float[Tensor, "batch sample"]:
        """160 samples per frame."""
        return griffin_lim(self.log_magnitudes(log_mel).exp(), n_rounds=self.n_rounds)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.along = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 3 * width)
        self.narrow = nn.Linear(3 * width, width)

    def forward(self, x: Float[Tensor, "batch frame width"]) -> Float[Tensor, "batch frame width"]:
        y = self.norm(self.along(x.transpose(1, 2)).transpose(1, 2))
        return x + self.narrow(functional.gelu(self.widen(y)))
