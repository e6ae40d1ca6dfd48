"""The embedding of a sound in CLIP's space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

if TYPE_CHECKING:
    from svdaudio.models.sound_clip.encoder import SoundEncoder
    from svdaudio.models.sound_clip.spectrogram import Preset


def run(
    *, mel_image: Float[NDArray[np.float32], "1 128 512"], preset: Preset, sound_encoder: SoundEncoder
) -> dict[str, Float[NDArray[np.float32], "1 dim"]]:
    """The embedding [1, dim], of unit length."""
    sound_encoder.check_preset(preset)
    return {"embedding": sound_encoder.embed(mel_image[None])}
