"""Sounds to evaluate, and warnings about those whose figures are unreliable: silence, clipping, lengths, rates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.errors import InputError
from svdaudio.sounds.rates import OUTPUT_RATE_HZ
from svdaudio.sounds.reading import read_sound, sound_facts

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
MIN_S = 1.0
"""Shortest sound that is judged: no tagger was trained on shorter ones."""
HEARD_S = 10.0
"""Length of a sound that AST (10.24 s) and CLAP use."""
SILENT_PEAK = 1e-4
"""Peak below which a sound counts as silent, 80 dB below full scale."""
FULL_SCALE = 0.999
N_CLIPPED = 3
"""Consecutive samples at full scale from which a sound counts as clipped."""
MIN_RATE_HZ = 16_000
"""Lowest sample rate of a sound with all frequencies that taggers use."""
N_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Source:
    """A named sound: a file, or samples of a run."""

    name: str
    path: Path | None = None
    samples: NDArray[np.float32] | None = None
    """[1, n] at 22 050 Hz, if the sound is not a file."""

    def read(self) -> tuple[Float[NDArray[np.float32], " sample"], int]:
        """Read the samples of one channel, -1 to 1, and their rate in Hz.

        Raises:
            InputError: the file is not a sound, or contains numbers that are not finite.
        """
        if self.path is None:
            waveform = np.zeros(0, np.float32) if self.samples is None else self.samples.ravel()
            return np.asarray(waveform, np.float32), OUTPUT_RATE_HZ
        waveform, rate_hz = read_sound(self.path)
        if not np.isfinite(waveform).all():
            raise InputError(f"the sound {self.path} contains numbers that are not finite", fix="export it again")
        return waveform, rate_hz


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Properties of a sound."""

    name: str
    path: Path | None
    sample_rate_hz: int
    duration_s: float
    n_channels: int
    peak: float
    is_clipped: bool

    @property
    def is_silent(self) -> bool:
        """Whether its peak is too low to be heard."""
        return self.peak < SILENT_PEAK

    @property
    def is_short(self) -> bool:
        """Whether it is too short to be judged."""
        return self.duration_s < MIN_S

    @property
    def is_usable(self) -> bool:
        """Whether it can be part of the figures of a set."""
        return not (self.is_silent or self.is_short)

    def results(self) -> dict[str, object]:
        """As plain data."""
        return {
            "path": None if self.path is None else str(self.path),
            "sample_rate_hz": self.sample_rate_hz,
            "duration_s": round(self.duration_s, 3),
            "channels": self.n_channels,
            "peak": round(self.peak, 4),
        }


def facts_of(source: Source) -> Facts:
    """Read a sound and measure it.

    Raises:
        InputError: as `Source.read`.
    """
    waveform, rate_hz = source.read()
    at_full_scale = np.abs(waveform) >= FULL_SCALE
    runs = np.lib.stride_tricks.sliding_window_view(np.pad(at_full_scale, (0, N_CLIPPED)), N_CLIPPED)
    return Facts(
        name=source.name,
        path=source.path,
        sample_rate_hz=rate_hz,
        duration_s=waveform.size / rate_hz,
        n_channels=1 if source.path is None else sound_facts(source.path).n_channels,
        peak=float(np.abs(waveform).max(initial=0.0)),
        is_clipped=bool(runs.all(axis=1).any()),
    )


def warnings_of(facts: Sequence[Facts]) -> list[str]:
    """Warnings about sounds whose figures are unreliable, one for each kind of fault."""
    kinds = (
        (f"shorter than {MIN_S:g} s, too short to be judged", [one for one in facts if one.is_short]),
        (
            "silent (peak below -80 dB): without cosines, and excluded from figures of sets",
            [one for one in facts if one.is_silent],
        ),
        (f"clipped ({N_CLIPPED} or more consecutive samples at full scale)", [one for one in facts if one.is_clipped]),
        ("not mono: the mean of the channels is judged", [one for one in facts if one.n_channels > 1]),
        (
            f"sampled at less than {MIN_RATE_HZ} Hz: frequencies above half the rate are missing",
            [one for one in facts if one.sample_rate_hz < MIN_RATE_HZ],
        ),
        (
            f"longer than {HEARD_S:g} s: AST and CLAP hear only the first ten seconds",
            [one for one in facts if one.duration_s > HEARD_S + 0.25],
        ),
    )
    return [f"{_names(found)} {'is' if len(found) == 1 else 'are'} {what}" for what, found in kinds if found]


def differences_of(facts: Sequence[Facts], reference: Sequence[Facts]) -> list[str]:
    """Warnings about technical differences between a set and its reference."""
    if not facts or not reference:
        return []
    lines: list[str] = []
    rates = [sorted({one.sample_rate_hz for one in each}) for each in (facts, reference)]
    if rates[0] != rates[1]:
        ours, theirs = (" and ".join(map(str, each)) for each in rates)
        lines.append(f"the set is at {ours} Hz, the reference at {theirs} Hz: missing treble increases distances")
    lengths = [float(np.median([one.duration_s for one in each])) for each in (facts, reference)]
    if abs(lengths[0] - lengths[1]) > 0.1 * lengths[1]:
        lines.append(
            f"sounds of the set last {lengths[0]:.1f} s, those of the reference {lengths[1]:.1f} s (medians): "
            "cut them to the same length"
        )
    return lines


def sounds_in(folder: Path) -> list[Path]:
    """The sound files in a folder, by name, without subfolders.

    Raises:
        InputError: the folder has no sounds.
    """
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise InputError(f"no sounds in {folder}", expected=", ".join(SUFFIXES))
    return found


def _names(found: Iterable[Facts]) -> str:
    names = [one.name for one in found]
    more = f" and {len(names) - N_NAMED} more" if len(names) > N_NAMED else ""
    return f"{', '.join(names[:N_NAMED])}{more}"
