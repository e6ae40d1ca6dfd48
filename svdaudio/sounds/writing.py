"""Write sounds as WAV, FLAC, OGG or MP3 with libsndfile, at one of three rates, with tags that name their origin."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svdaudio.errors import InputError, StoreError
from svdaudio.files import check_place
from svdaudio.sounds.rates import OUTPUT_RATE_HZ

FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
"""Suffix → format and subtype, as libsndfile names them."""
RATES_HZ = (OUTPUT_RATE_HZ, 44_100, 48_000)


@dataclass(frozen=True, kw_only=True)
class Tags:
    """Tags of an audio file; players show the title."""

    title: str
    comment: str
    """The run, and the command that reproduces the sound."""
    software: str


def check_sound_place(path: Path, rate_hz: int | None = None, *, inputs: Iterable[Path] = ()) -> None:
    """Reject a path or a rate at which a sound cannot be written, before any work is done.

    Args:
        path: destination of the sound; its suffix is the format.
        rate_hz: sample rate of the file; `OUTPUT_RATE_HZ` if None.
        inputs: files that it must not replace.

    Raises:
        InputError: see `check_place`; or the rate is not supported, or this libsndfile cannot write the format.
    """
    check_place(path, kind=tuple(FORMATS), inputs=inputs)
    if rate_hz is not None and rate_hz not in RATES_HZ:
        raise InputError(
            f"a sound cannot be written at {rate_hz} Hz", expected=" or ".join(map(str, RATES_HZ)), got=rate_hz
        )
    if path.suffix.lower() != ".wav":
        import soundfile

        name, subtype = FORMATS[path.suffix.lower()]
        if not soundfile.check_format(name, subtype):
            raise InputError(
                f"libsndfile {soundfile.__libsndfile_version__} cannot write {path.name}",
                got=f"{name} with {subtype}",
                fix="use .wav, or install a newer soundfile",
            )


def encoded(wav: bytes, suffix: str, *, rate_hz: int = OUTPUT_RATE_HZ, tags: Tags | None = None) -> bytes:
    """Convert a WAV file, of any number of channels, to another format and rate, with tags.

    A file of float32 becomes float32 in WAV and 24 bits in FLAC; anything else has 16 bits.

    Args:
        wav: the content of the file.
        suffix: suffix of the format, one of `FORMATS`.
        rate_hz: target rate; if it differs from the file's, samples pass a polyphase filter (scipy).
        tags: written if the format supports them.

    Raises:
        StoreError: libsndfile refuses the combination.
    """
    import numpy as np
    import soundfile

    is_float = soundfile.info(io.BytesIO(wav)).subtype == "FLOAT"
    samples, given_hz = soundfile.read(io.BytesIO(wav), dtype="float64")
    if given_hz != rate_hz:
        from svdaudio.sounds.scipy_parts import resample_poly

        common = math.gcd(given_hz, rate_hz)
        samples = resample_poly(samples, rate_hz // common, given_hz // common, axis=0)
    name, subtype = FORMATS[suffix]
    if is_float:
        subtype = {"WAV": "FLOAT", "FLAC": "PCM_24"}.get(name, subtype)
    if subtype != "FLOAT":
        samples = np.clip(samples, -1, 1)
    buffer = io.BytesIO()
    try:
        _write(buffer, samples, rate_hz, name, subtype, tags)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise StoreError(
            f"libsndfile cannot write {name} at {rate_hz} Hz in {_n_channels(samples)} channels",
            got=error,
            fix="use another --rate, or .wav",
        ) from error
    return buffer.getvalue()


def joined(wavs: Sequence[bytes]) -> bytes:
    """Join mono WAV files of one length as the channels of one WAV file of float32.

    Args:
        wavs: the contents of the files.
    """
    import numpy as np
    import soundfile

    read = [soundfile.read(io.BytesIO(wav), dtype="float32") for wav in wavs]
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([samples for samples, _ in read], 1), read[0][1], format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def _write(buffer: io.BytesIO, samples: Any, rate_hz: int, name: str, subtype: str, tags: Tags | None) -> None:
    import soundfile

    if subtype == "PCM_16":  # the same rounding as in `svdaudio.views.report.wav_bytes`
        import numpy as np

        samples = np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)
    channels = _n_channels(samples)
    with soundfile.SoundFile(buffer, "w", samplerate=rate_hz, channels=channels, format=name, subtype=subtype) as file:
        if tags is not None:  # before the samples, or libsndfile has no room for them
            texts = (tags.title, tags.comment, tags.software)
            if name == "MP3":  # libsndfile writes bytes, which readers decode as Latin-1
                texts = tuple(text.encode("ascii", "replace").decode() for text in texts)
            file.title, file.comment, file.software = texts
        file.write(samples)


def _n_channels(samples: Any) -> int:
    return 1 if samples.ndim == 1 else int(samples.shape[1])
