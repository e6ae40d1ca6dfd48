"""Fit a user's sound to the length and sample rate of a run's sounds."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.errors import InputError
from svdaudio.sounds.rates import OUTPUT_RATE_HZ
from svdaudio.sounds.scipy_parts import resample_poly

SEAM_S = 0.005
"""Fade at both ends of a repeated sound, to prevent clicks."""


class Fitted(NamedTuple):
    """A sound of the target length."""

    waveform: Float[NDArray[np.float32], "1 sample"]
    """At `OUTPUT_RATE_HZ`."""
    remarks: tuple[str, ...]


def fit(samples: Float[NDArray[np.float32], " sample"], sample_rate_hz: int, *, duration_s: float) -> Fitted:
    """Resample a sound, then cut it, or repeat it from its start, to the target length.

    Args:
        samples: one channel.
        sample_rate_hz: sample rate of the samples.
        duration_s: target length.

    Raises:
        InputError: the sound is silent, or holds numbers that are not finite.
    """
    if not (np.isfinite(samples).all() and samples.any()):
        found = "only zeros" if np.isfinite(samples).all() else "samples that are not finite"
        raise InputError(
            "a sound cannot be mixed", expected="finite samples, not all 0", got=found, fix="use another sound"
        )
    common = math.gcd(sample_rate_hz, OUTPUT_RATE_HZ)
    resampled = resample_poly(samples.astype(np.float64), OUTPUT_RATE_HZ // common, sample_rate_hz // common)
    n_samples, given_s = round(duration_s * OUTPUT_RATE_HZ), len(samples) / sample_rate_hz
    remarks: tuple[str, ...] = ()
    if len(resampled) < n_samples:
        distance = np.minimum(np.arange(1, len(resampled) + 1), np.arange(len(resampled), 0, -1))
        resampled = resampled * np.minimum(1, distance / (SEAM_S * OUTPUT_RATE_HZ))
        remarks = (f"the sound lasts {given_s:.2f} s: it is repeated to {duration_s:g} s",)
    elif len(resampled) > n_samples:
        remarks = (f"the sound lasts {given_s:.2f} s: its first {duration_s:g} s are used",)
    return Fitted(np.resize(resampled, n_samples).astype(np.float32)[None], remarks)
