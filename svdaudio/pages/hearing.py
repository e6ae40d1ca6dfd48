"""The sounds that a run compared with labels: the sound encoder's spectrogram, and the nearest labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.stage import group_of
from svdaudio.pages.media import mp3_uri, shaded_uri
from svdaudio.sounds.rates import OUTPUT_RATE_HZ
from svdaudio.views.stages import heard_bands, nodes_done

N_LABELS_SHOWN = 24
LONGEST_S = 30.0
"""Longer sounds are cut to this length for the player of the page."""


@dataclass(frozen=True, kw_only=True)
class Hearing:
    """A sound that was compared with labels."""

    name: str
    picture: str
    """The sound encoder's spectrogram as a data: URI, one row per mel band, low bands at the bottom."""
    sound: str
    """The sound for the player of the page, as a data: URI."""
    is_cut: bool
    """Whether the player has only the beginning."""
    preset: str
    place: str
    maximum_db: float
    loudness_db: float
    labels: Sequence[tuple[str, float, float]]
    """Label, cosine and probability, the most likely first."""
    n_more: int
    """Labels that are not listed."""


def hearings(arrays: RunArrays) -> list[Hearing]:
    """Every sound that a run compared with labels."""
    found: list[Hearing] = []
    for sound, node in arrays.scores_done().items():
        if arrays.nodes[node].stage.name != "match":
            continue
        for spectrogram in (one for one in nodes_done(arrays, "spectrogram") if group_of(one) == sound):
            parameters, (maximum_db, loudness_db) = arrays.parameters(spectrogram), arrays[spectrogram]["level_db"]
            cosines = arrays[node]["cosines"].tolist()
            labels = [
                (label, cosine, score)
                for (label, score), cosine in zip(arrays.scores()[sound].items(), cosines, strict=True)
            ]
            labels.sort(key=lambda row: -row[2])
            found.append(
                Hearing(
                    name=sound,
                    picture=shaded_uri(heard_bands(arrays, spectrogram)),
                    **_player(arrays, spectrogram),
                    preset=parameters["preset"],
                    place=parameters["place"],
                    maximum_db=float(maximum_db),
                    loudness_db=float(loudness_db),
                    labels=labels[:N_LABELS_SHOWN],
                    n_more=max(len(labels) - N_LABELS_SHOWN, 0),
                )
            )
    return found


def _player(arrays: RunArrays, spectrogram: str) -> dict[str, Any]:
    from scipy.signal import resample_poly

    inputs = arrays.nodes[spectrogram].inputs
    waveform: NDArray[np.float32] = arrays.output(inputs["waveform"])
    rate_hz = int(arrays.output(inputs["rate_hz"]))
    shown = waveform[: int(LONGEST_S * rate_hz)]
    common = math.gcd(rate_hz, OUTPUT_RATE_HZ)
    resampled = resample_poly(shown.astype(np.float64), OUTPUT_RATE_HZ // common, rate_hz // common)
    return {"sound": mp3_uri(resampled, OUTPUT_RATE_HZ), "is_cut": len(shown) < len(waveform)}
