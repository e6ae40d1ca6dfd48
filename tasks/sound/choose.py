"""Step 8, choice: selects the candidate closest to the target embedding, at 22 050 Hz."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.memory_layout import to_tensor
from svdaudio.models.audioldm.choose import choose

if TYPE_CHECKING:
    from svdaudio.models.audioldm.choose import AudioEncoder


def run(
    *,
    waveforms: Float[NDArray[np.float32], "candidate sample"],
    clap: Float[NDArray[np.float32], "512"],
    duration_s: float,
    audio_encoder: AudioEncoder,
) -> dict[str, NDArray[Any]]:
    """Waveform [1, sample] at 22 050 Hz, the similarity [candidate] of each candidate, and the chosen index."""
    kept = choose(audio_encoder, to_tensor(waveforms), to_tensor(clap), duration_s=duration_s)
    return {"waveform": kept.waveform.numpy(), "similarity": kept.similarity.numpy(), "choice": kept.choice.numpy()}
