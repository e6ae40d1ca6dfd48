"""Fast Griffin-Lim, which finds phases for magnitudes, and magnitudes for a mel spectrogram without a network."""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float
from torch import Tensor
from torchaudio.functional import griffinlim

from svdaudio.models.audioldm.mel import HOP_LENGTH, N_FFT, mel_filters

N_ROUNDS = 32
MOMENTUM = 0.99


def griffin_lim(
    magnitudes: Float[Tensor, "batch frame 513"], *, n_rounds: int = N_ROUNDS
) -> Float[Tensor, "batch sample"]:
    """A sound at 16 kHz whose STFT has nearly these magnitudes, 160 per frame; deterministic: phases start at 0.

    Source: fast Griffin-Lim with momentum 0.99 (Perraudin, Balazs and Søndergaard 2013).
    """
    columns = magnitudes.transpose(1, 2)
    # repeat the last frame, so that one is centred on the last samples
    columns = torch.cat([columns, columns[..., -1:]], dim=2)
    window = torch.hann_window(N_FFT, device=magnitudes.device)
    return griffinlim(
        columns, window, N_FFT, HOP_LENGTH, N_FFT, power=1.0, n_iter=n_rounds, momentum=MOMENTUM, length=None,
        rand_init=False,
    )  # fmt: skip


def pseudo_inverse(log_mel: Float[Tensor, "*batch 64"]) -> Float[Tensor, "*batch 513"]:
    """STFT magnitudes by the pseudo-inverse of the mel filters, clamped at 0."""
    return (log_mel.exp() @ _inverse().to(log_mel)).clamp(min=0)


@functools.cache
def _inverse() -> Tensor:
    return torch.linalg.pinv(mel_filters().double()).float()
