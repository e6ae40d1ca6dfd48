"""The CLAP embedding of a sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.memory_layout import to_tensor
from svdaudio.sounds.rates import OUTPUT_RATE_HZ

if TYPE_CHECKING:
    from svdaudio.models.audioldm.choose import AudioEncoder


def run(
    *, waveform: Float[NDArray[np.float32], "1 sample"], audio_encoder: AudioEncoder
) -> dict[str, Float[NDArray[np.float32], "512"]]:
    """The audio encoder's unit vector; SSV2A's fold and generator do not improve it (docs/mixer_sources.md)."""
    return {"clap": audio_encoder.embed(to_tensor(waveform), OUTPUT_RATE_HZ)[0].float().cpu().numpy()}
