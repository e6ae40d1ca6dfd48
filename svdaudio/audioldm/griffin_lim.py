"""The classical vocoder: magnitudes by the pseudo-inverse of the mel filters, phases by fast Griffin-Lim.

It has no weights to train. AudioLDM's own vocoder is a HiFi-GAN (`svdaudio.audioldm.vocoder`); a bundle whose HiFi-GAN
does worse than this on held-out sounds ships this one, and its card says so.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchaudio.functional import griffinlim

from svdaudio.audioldm.mel import HOP_LENGTH, N_FFT, mel_filters


class GriffinLimVocoder(nn.Module):
    """Log-mel to sound at 16 kHz, deterministic: phases start at zero.

    Args:
        n_rounds: of fast Griffin-Lim (Perraudin, Balazs and Søndergaard 2013), momentum 0.99.
    """

    inverse: Tensor

    def __init__(self, *, n_rounds: int) -> None:
        super().__init__()
        self.n_rounds = n_rounds
        self.register_buffer("inverse", torch.linalg.pinv(mel_filters().double()).float(), persistent=False)

    def forward(self, log_mel: Float[Tensor, "batch frame 64"]) -> Float[Tensor, "batch sample"]:
        """160 samples a frame."""
        magnitudes = (log_mel.exp() @ self.inverse).clamp(min=0).transpose(1, 2)
        # one frame more, so that the frame centred on the last samples is there
        magnitudes = torch.cat([magnitudes, magnitudes[..., -1:]], dim=2)
        return griffinlim(
            magnitudes,
            torch.hann_window(N_FFT, device=log_mel.device),
            N_FFT,
            HOP_LENGTH,
            N_FFT,
            power=1.0,
            n_iter=self.n_rounds,
            momentum=0.99,
            length=None,
            rand_init=False,
        )
