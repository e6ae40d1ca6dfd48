"""Step 8, vocoder: log-mel spectrograms to waveforms at 16 kHz."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.memory_layout import to_tensor
from svdaudio.models.audioldm.backends import open_backend

if TYPE_CHECKING:
    from torch import nn


def run(
    *, mel: Float[NDArray[np.float32], "candidate mel_frame 64"], backend: str, vocoder: nn.Module
) -> dict[str, Float[NDArray[np.float32], "candidate sample"]]:
    """Waveforms at 16 kHz, -1 to 1."""
    return {"waveforms": open_backend(backend).vocode(vocoder, to_tensor(mel)).numpy()}
