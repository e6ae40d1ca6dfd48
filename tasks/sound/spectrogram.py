"""The spectrogram of a sound, as input of the sound encoder."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from svdaudio.engine.stage import OnNote
from svdaudio.models.sound_clip.spectrogram import Place, Preset, length_remarks, level_db, mel_image


def run(
    *,
    waveform: Float[NDArray[np.float32], " sample"],
    rate_hz: Int[NDArray[np.int64], ""],
    preset: Preset,
    place: Place,
    seed: int,
    note: OnNote,
) -> dict[str, Float[NDArray[np.float32], "1 128 512"] | Float[NDArray[np.float32], "2"]]:
    """The spectrogram [1, 128, 512], 0 to 1, and the highest mel power and the loudness in dB."""
    for remark in length_remarks(len(waveform), int(rate_hz), place=place):
        note(remark)
    return {
        "mel_image": mel_image(waveform, int(rate_hz), preset=preset, place=place, seed=seed),
        "level_db": level_db(waveform, int(rate_hz)),
    }
