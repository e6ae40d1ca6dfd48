"""The samples of an item, and parts of them of one length."""

from __future__ import annotations

from typing import Literal

import numpy as np
import soundfile
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.errors import InputError
from svdaudio.pretraining.items import Item
from svdaudio.sounds.reading import sound_facts

Place = Literal["start", "centre", "random"]
Rng = np.random.Generator


def read_clip(item: Item) -> tuple[Float[NDArray[np.float32], " sample"], int]:
    """Samples of an item as one channel, -1 to 1 (the mean of its file's channels), and their rate in Hz.

    Raises:
        InputError: its file is missing or damaged, or ends before the item begins.
    """
    facts = sound_facts(item.sound)
    rate_hz = facts.sample_rate_hz
    first = round(item.start_s * rate_hz)
    n_samples = -1 if item.duration_s is None else round(item.duration_s * rate_hz)
    if first >= facts.n_samples:
        raise InputError(
            f"the sound {item.sound} is too short",
            expected=f"more than {item.start_s:g} s, where the item begins",
            got=f"{facts.duration_s:.2f} s",
        )
    try:
        samples, _ = soundfile.read(str(item.sound), frames=n_samples, start=first, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"{item.sound} is not a readable sound", got=error, fix="convert it to WAV or FLAC") from error
    return samples.mean(axis=1), rate_hz


def fitted(
    waveform: Float[NDArray[np.float32], " sample"], n_samples: int, *, place: Place, rng: Rng
) -> Float[NDArray[np.float32], " {n_samples}"]:
    """A waveform of a given length: a part of a longer one, a shorter one repeated from its start.

    Args:
        waveform: at least one sample.
        n_samples: the length.
        place: which part: the beginning, the middle, or a random one.
        rng: draws the random part.
    """
    spare = len(waveform) - n_samples
    if spare <= 0:
        return np.resize(waveform, n_samples)
    first = {"start": 0, "centre": spare // 2}.get(place)
    if first is None:
        first = int(rng.integers(spare + 1))
    return waveform[first : first + n_samples]
