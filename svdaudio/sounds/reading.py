"""Check the user's audio files before any computation, and read them as one channel of samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.errors import InputError
from svdaudio.files import found_instead


@dataclass(frozen=True, kw_only=True)
class SoundFacts:
    """Content of an audio file's header."""

    sample_rate_hz: int
    n_samples: int
    n_channels: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sample_rate_hz


def sound_facts(path: Path) -> SoundFacts:
    """Read the header of an audio file (WAV, FLAC, OGG, MP3 and other formats of libsndfile).

    Raises:
        InputError: the file does not exist, is not an audio file, or is empty.
    """
    if (another := found_instead(path)) is not None:
        raise InputError(f"{path} is not an audio file", expected="a file", got=another)
    if not path.exists():
        raise InputError(f"audio file not found: {path}", fix="check the path")
    try:
        info: Any = soundfile.info(str(path))
    except (soundfile.LibsndfileError, OSError) as error:
        raise _not_a_sound(path, error) from error
    if not info.frames:
        raise InputError(f"the audio file {path} is empty", fix="use one that contains samples")
    return SoundFacts(sample_rate_hz=info.samplerate, n_samples=info.frames, n_channels=info.channels)


def read_sound(path: Path) -> tuple[Float[NDArray[np.float32], " sample"], int]:
    """The samples of an audio file as one channel, -1 to 1 (the mean of its channels), and its sample rate in Hz.

    Raises:
        InputError: see `sound_facts`; or the file is damaged.
    """
    sound_facts(path)
    try:
        samples, sample_rate_hz = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise _not_a_sound(path, error) from error
    return samples.mean(axis=1), int(sample_rate_hz)


def finite(samples: Float[NDArray[np.float32], " sample"], path: Path) -> Float[NDArray[np.float32], " sample"]:
    """The samples of a file, checked to be finite: a file of floats may hold other values.

    Raises:
        InputError: a sample is NaN or infinite.
    """
    if not np.isfinite(samples).all():
        raise InputError(f"the audio file {path} has invalid samples", expected="finite numbers", got="NaN or infinity")
    return samples


def _not_a_sound(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is not a readable audio file", got=error, fix="convert it to WAV or FLAC")
