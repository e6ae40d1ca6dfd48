"""The finish of a sound: no offset, no clicks at its ends, and one loudness, so that sounds are comparable.

Loudness is the integrated loudness of ITU-R BS.1770-4 in LUFS, measured by pyloudnorm. Peaks are true peaks, those of
the waveform between the samples: of the signal at four times its rate, as in annex 2 of that recommendation.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.process_state import kept_process_state
from svdaudio.sounds.scipy_parts import butter, resample_poly, sosfiltfilt

with kept_process_state():
    from pyloudnorm import Meter

FADE_S = 0.005
HIGH_PASS_HZ = 20.0
"""Below the audible range. The vocoder's offset follows the sound's level, so subtracting the mean is not enough."""
BLOCK_S = 0.4
"""Length of the blocks that BS.1770 measures."""
SILENCE_LUFS = -70.0
"""The absolute gate of BS.1770: anything quieter counts as silence."""
N_OVERSAMPLED = 4


class Finished(NamedTuple):
    """A finished sound."""

    waveform: Float[NDArray[np.float32], "1 sample"]
    loudness_lufs: float
    """Its integrated loudness; `SILENCE_LUFS` for silence."""
    gain_db: float
    """Gain of this waveform over the given one without its offset; 0 for silence."""
    remarks: tuple[str, ...]


def finish(
    waveform: Float[NDArray[np.floating], "1 sample"], sample_rate_hz: int, *, loudness_lufs: float, true_peak_db: float
) -> Finished:
    """Remove the offset, fade both ends, and bring a sound to a loudness.

    A gain that would lift true peaks above the limit is reduced, with a note: nothing is clipped or compressed.
    Of silence only the offset is removed, with a note.

    Args:
        waveform: one channel, nominally -1 to 1.
        sample_rate_hz: sample rate of the waveform.
        loudness_lufs: target integrated loudness.
        true_peak_db: highest true peak allowed, in dB relative to full scale.
    """
    samples = _faded(_without_offset(waveform[0].astype(np.float64), sample_rate_hz), sample_rate_hz)
    remarks: list[str] = []
    duration_s = samples.size / sample_rate_hz
    if duration_s < BLOCK_S:
        remarks.append(
            f"the sound lasts {1000 * duration_s:.0f} ms, less than the {1000 * BLOCK_S:.0f} ms that loudness is "
            "measured over: it is measured as a whole"
        )
    measured = integrated_loudness(samples, sample_rate_hz)
    if measured <= SILENCE_LUFS:
        remarks.append(f"the sound is silent (below {SILENCE_LUFS:g} LUFS): its loudness is unchanged")
        return Finished(samples.astype(np.float32)[None], SILENCE_LUFS, 0.0, tuple(remarks))
    gain_db = loudness_lufs - measured
    peak_db = true_peak(samples)
    if peak_db + gain_db > true_peak_db:
        gain_db = true_peak_db - peak_db
        remarks.append(
            f"the sound stays at {measured + gain_db:.1f} LUFS instead of {loudness_lufs:g}: its peaks reach "
            f"{true_peak_db:g} dB there"
        )
    louder = samples * 10 ** (gain_db / 20)
    return Finished(louder.astype(np.float32)[None], measured + gain_db, gain_db, tuple(remarks))


def integrated_loudness(samples: Float[NDArray[np.float64], " sample"], sample_rate_hz: int) -> float:
    """Integrated loudness in LUFS; at least `SILENCE_LUFS`. A sound shorter than a block is one block."""
    if not samples.any():
        return SILENCE_LUFS
    longest_s = samples.size * (1 - 1e-9) / sample_rate_hz  # less by rounding, or pyloudnorm may find it too short
    with np.errstate(divide="ignore"):
        measured = float(Meter(sample_rate_hz, block_size=min(BLOCK_S, longest_s)).integrated_loudness(samples))
    return max(SILENCE_LUFS, measured) if math.isfinite(measured) else SILENCE_LUFS


def true_peak(samples: Float[NDArray[np.float64], " sample"]) -> float:
    """The true peak in dB relative to full scale; minus infinity for silence."""
    peak = max(float(np.abs(resample_poly(samples, N_OVERSAMPLED, 1)).max()), float(np.abs(samples).max()))
    return 20 * math.log10(peak) if peak else -math.inf


def _without_offset(
    samples: Float[NDArray[np.float64], " sample"], sample_rate_hz: int
) -> Float[NDArray[np.float64], " sample"]:
    """The samples above `HIGH_PASS_HZ`, in phase: filtered forwards and backwards."""
    sections = butter(2, HIGH_PASS_HZ, btype="highpass", fs=sample_rate_hz, output="sos")
    padded = min(samples.size - 1, round(sample_rate_hz / HIGH_PASS_HZ))
    return np.asarray(sosfiltfilt(sections, samples - samples.mean(), padlen=padded))


def _faded(
    samples: Float[NDArray[np.float64], " sample"], sample_rate_hz: int
) -> Float[NDArray[np.float64], " sample"]:
    """The samples with a raised cosine of `FADE_S` at both ends, or of half the sound if it is shorter than two."""
    n_faded = min(round(FADE_S * sample_rate_hz), samples.size // 2)
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(n_faded) / max(1, n_faded))
    envelope = np.ones(samples.size)
    envelope[:n_faded] = ramp
    envelope[samples.size - n_faded :] = ramp[::-1]
    return samples * envelope
