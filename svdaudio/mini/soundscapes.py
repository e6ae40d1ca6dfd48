"""Ten seconds on the farm: recordings at random times with gain, pitch and tempo changes, mixed.

Every animal in a mixture is repeated with short gaps, so that any few seconds contain all of them; the loudness of
each is part of the target, so that embeddings between two animals are meaningful.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from svdaudio.mini import farm

Rng = np.random.Generator
Waveform = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Variation:
    """Strength of augmentations; different for training, judging and held-out sets."""

    log_rate: float = 0.08  # speed and pitch together, standard deviation of the logarithm
    tilt_db: float = 4.0  # spectral tilt over the band, standard deviation
    gain_db: float = 9.0  # an animal is up to this much softer than the loudest
    floor_db: float = -66.0  # level of the noise under everything


@dataclass(frozen=True, kw_only=True)
class Soundscape:
    """A mixture and the share of each animal in it.

    Attributes:
        waveform: [n] float32, at 16 kHz or the requested rate, peak at most 0.95.
        shares: [9] float32, amplitude of each animal against the loudest, 0 where it is not heard.
    """

    waveform: Waveform
    shares: NDArray[np.float32]


def compose(
    rng: Rng,
    *,
    duration_s: float = 10.24,
    classes: Sequence[int] | None = None,
    n_animals: int | None = None,
    given_shares: Sequence[float] | None = None,
    variation: Variation | None = None,
    sample_rate_hz: int = farm.SAMPLE_RATE_HZ,
) -> Soundscape:
    """Draw one soundscape of the given animals (indices), or of one to three at random.

    Args:
        rng: source of every random choice.
        duration_s: its length.
        classes: the animals.
        n_animals: number of animals if `classes` is not given.
        given_shares: amplitude of each of `classes` against the loudest, 0..1; random if not given.
        variation: strength of the augmentations.
        sample_rate_hz: of the waveform.
    """
    variation = variation or Variation()
    n_samples = round(duration_s * sample_rate_hz)
    if classes is None:
        count = n_animals if n_animals is not None else int(rng.choice(3, p=(0.4, 0.45, 0.15))) + 1
        classes = [int(c) for c in rng.choice(len(farm.CLASSES), size=count, replace=False)]
    shares = np.zeros(len(farm.CLASSES), np.float32)
    mixture = np.zeros(n_samples, np.float32)
    loudest = int(rng.integers(len(classes))) if classes else 0
    for position, label in enumerate(classes):
        if given_shares is not None:
            share = given_shares[position]
        else:
            share = 1.0 if position == loudest else float(10 ** (-rng.uniform(0, variation.gain_db) / 20))
        mixture += share * _track(rng, farm.CLASSES[label], n_samples, variation, sample_rate_hz)
        shares[label] = max(shares[label], share)
    peak = float(np.abs(mixture).max())
    if peak > 0:
        mixture *= rng.uniform(0.4, 0.9) / peak
    mixture += rng.normal(0, 10 ** (variation.floor_db / 20), n_samples).astype(np.float32)
    return Soundscape(waveform=np.clip(mixture, -0.95, 0.95).astype(np.float32), shares=shares)


def _track(rng: Rng, name: str, n_samples: int, variation: Variation, sample_rate_hz: int) -> Waveform:
    """One animal, repeated from a random start; every call differs a little."""
    track = np.zeros(n_samples, np.float32)
    rate = float(np.exp(rng.normal(0, variation.log_rate)))
    tilt_db = rng.normal(0, variation.tilt_db)
    position = -int(rng.uniform(0, 1.5) * sample_rate_hz)
    while position < n_samples:
        call = _call(rng, name, rate * float(np.exp(rng.normal(0, 0.02))), tilt_db, sample_rate_hz)
        call *= 10 ** (rng.uniform(-3, 0) / 20)
        start, stop = max(0, position), min(n_samples, position + len(call))
        if stop > start:
            track[start:stop] += call[start - position : stop - position]
        position += len(call) + int(rng.uniform(0.1, 0.9) * sample_rate_hz)
    return track


def _call(rng: Rng, name: str, rate: float, tilt_db: float, sample_rate_hz: int) -> Waveform:
    """One call: the recording or, of a long one, three to five seconds of it; resampled, tilted, faded."""
    samples = farm.recording(name, sample_rate_hz)
    longest = int(rng.uniform(3.0, 5.0) * sample_rate_hz)
    if len(samples) > longest:
        start = int(rng.integers(len(samples) - longest))
        samples = samples[start : start + longest]
    places = np.arange(0, len(samples) - 1, rate)
    call = np.interp(places, np.arange(len(samples)), samples).astype(np.float32)
    smoothed = np.convolve(call, np.full(5, 0.2, np.float32), mode="same")
    amount = np.float32(10 ** (tilt_db / 20) - 1)
    call = call + np.clip(amount, -0.6, 1.0) * (call - smoothed)
    call /= max(1e-6, float(np.sqrt(np.mean(call**2))) / 0.1)  # equal loudness for all animals
    fade = min(400, len(call) // 4)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    call[:fade] *= ramp
    call[-fade:] *= ramp[::-1]
    return np.asarray(call, np.float32)
