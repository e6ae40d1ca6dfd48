"""The embedding of a sound file in CLIP's space, where it is comparable with pictures and texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.models.sound_clip.spectrogram import mel_image
from svdaudio.sounds.reading import finite, read_sound

if TYPE_CHECKING:
    from svdaudio.models.sound_clip.encoder import SoundEncoder


def run(
    *, file: Path, place: Literal["start", "centre"], sound_encoder: SoundEncoder
) -> dict[str, Float[NDArray[np.float32], "1 dim"]]:
    """A unit vector [1, dim]. The waveform and its spectrogram, over a hundred times as large, are not kept."""
    waveform, sample_rate_hz = read_sound(file)
    picture = mel_image(finite(waveform, file), sample_rate_hz, preset=sound_encoder.preset, place=place)
    return {"embedding": sound_encoder.embed(picture[None])}
