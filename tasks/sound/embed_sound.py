"""The embedding of a sound file where a CLIP embeds pictures and texts of the same things."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.evaluation.sounds import Source
from svdaudio.models.sound_clip.spectrogram import mel_image

if TYPE_CHECKING:
    from svdaudio.models.sound_clip.encoder import SoundEncoder


def run(
    *, file: Path, place: Literal["start", "centre"], sound_encoder: SoundEncoder
) -> dict[str, Float[NDArray[np.float32], " dim"]]:
    """A unit vector; the picture of the sound that it comes from is not kept, for it is a thousand times as large."""
    waveform, sample_rate_hz = Source(name=file.name, path=file).read()
    picture = mel_image(waveform, sample_rate_hz, preset=sound_encoder.preset, place=place)
    return {"embedding": sound_encoder.embed(picture[None])[0]}
