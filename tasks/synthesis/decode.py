"""Step 8, VAE: latents to log-mel spectrograms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.memory_layout import to_tensor
from svdaudio.models.audioldm.backends import open_backend

if TYPE_CHECKING:
    from svdaudio.models.audioldm.autoencoder import AutoencoderKL


def run(
    *, latents: Float[NDArray[np.float32], "candidate 8 frame 16"], backend: str, autoencoder: AutoencoderKL
) -> dict[str, Float[NDArray[np.float32], "candidate mel_frame 64"]]:
    """Log-mel spectrograms, 100 frames a second."""
    return {"mel": open_backend(backend).decode(autoencoder, to_tensor(latents)).numpy()}
