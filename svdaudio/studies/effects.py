"""Effects of settings on an objective: means and differences with intervals, and a test adjusted for their number.

The values of a study are an array [setting, scene, seed], NaN where a run has no result. The first setting is the
baseline, which every other one is compared with on the same scenes and seeds.

Intervals are 95 % percentile intervals of a cluster bootstrap: scenes are drawn, then seeds within each scene. All
settings share the draws, so differences stay paired. With one scene they cover the choice of seeds alone.

`p` tests whether a setting differs from the baseline, adjusted for choosing the best of many: a sign-flip test with the
largest |t| over all settings (Westfall and Young, Resampling-Based Multiple Testing, 1993, single-step maxT). Its units
are scenes (means over seeds) if there are at least six, otherwise single runs; it then holds for these scenes only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.figures import Figure, cluster_weights

ENOUGH_UNITS = 6
"""Least number of units of the test: with fewer, the smallest possible p, 2 / 2 ** n, exceeds 0.05."""
MAX_EXACT = 12
"""Largest number of units for which every sign pattern is used."""
N_FLIPS = 10_000
"""Sign patterns that are drawn for more units."""
SIGNIFICANT = 0.05
_TOGETHER = 512  # patterns at a time, to bound memory

Values = Float[NDArray[np.float64], "setting scene seed"]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """The effect of one setting."""

    mean: Figure | None
    """Mean of the objective; None if no run has a result."""
    difference: Figure | None
    """Mean difference from the first setting, over the runs that both have; None for the first."""
    p: float | None
    """Adjusted p-value of the difference; None for the first, and if there are too few runs."""


def effects(values: Values, *, seed: int = 0) -> list[Effect]:
    """The effect of every setting, compared with the first.

    Args:
        values: of the objective, NaN where a run has no result.
        seed: of the resamples.
    """
    n_settings, n_scenes, n_seeds = values.shape
    weights = cluster_weights(n_scenes, n_seeds, seed=seed)
    flat = values.reshape(n_settings, -1)
    means = weighted_figures("mean", flat, weights)
    differences = weighted_figures("difference", flat - flat[0], weights)
    adjusted = adjusted_p(values, seed=seed)
    return [
        Effect(
            mean=means[place],
            difference=differences[place] if place else None,
            p=None if adjusted is None or not place or np.isnan(adjusted[place]) else float(adjusted[place]),
        )
        for place in range(n_settings)
    ]


def weighted_figures(
    name: str, rows: Float[NDArray[np.float64], "row sample"], weights: Float[NDArray[np.float64], "resample sample"]
) -> list[Figure | None]:
    """The mean of each row's values, with its interval; None for a row of NaN.

    A row with a single value has no interval, as its variation is unknown.

    Args:
        name: of the figures.
        rows: values, NaN if missing.
        weights: from `svdaudio.figures.cluster_weights`, for the same samples.
    """
    there = ~np.isnan(rows)
    filled = np.where(there, rows, 0.0)
    counts = there.sum(axis=1)
    found: list[Figure | None] = []
    for row, mask, n in zip(filled, there, counts, strict=True):
        if not n:
            found.append(None)
            continue
        low = high = None
        if n > 1:
            share = weights @ mask
            resampled = (weights @ row)[share > 0] / share[share > 0]
            low, high = (float(end) for end in np.quantile(resampled, (0.025, 0.975)))
        found.append(Figure(name=name, value=float(row.sum() / n), low=low, high=high, n=int(n)))
    return found


def adjusted_p(values: Values, *, seed: int = 0) -> Float[NDArray[np.float64], " setting"] | None:
    """The adjusted p-value of each setting: how often chance alone gives the clearest setting as large a |t|.

    Under the null hypothesis, each difference from the baseline is as likely with the opposite sign. The signs of a
    unit are flipped in all settings together, which preserves the correlation between settings.

    Args:
        values: of the objective.
        seed: of the sign patterns, if there are more than 2 ** 12.

    Returns:
        p-values, NaN for the first setting and for settings without a result; None if fewer than six units have a
        result in all other settings.
    """
    there = np.asarray(~np.isnan(values).all(axis=(1, 2)))
    there[0] = False
    if not there.any():
        return None
    differences = (values - values[0])[there]
    n_scenes = differences.shape[1]
    by_scene = n_scenes >= ENOUGH_UNITS
    units = differences.mean(axis=2) if by_scene else differences.reshape(len(differences), -1)
    units = units[:, ~np.isnan(units).any(axis=0)]
    n_units = units.shape[1]
    if n_units < ENOUGH_UNITS:
        return None
    observed = _t(units, np.ones((n_units, 1)))[:, 0]
    n_as_clear, n_patterns = np.zeros(len(units)), 0
    for signs in _sign_patterns(n_units, seed):
        largest = _t(units, signs).max(axis=0)
        n_as_clear += (largest[None] >= observed[:, None] * (1 - 1e-9)).sum(axis=1)
        n_patterns += signs.shape[1]
    found = np.full(len(values), np.nan)
    drawn = n_units > MAX_EXACT
    found[there] = (n_as_clear + drawn) / (n_patterns + drawn)  # the observed one counts among those drawn
    return found


def _t(units: NDArray[np.float64], signs: NDArray[np.float64]) -> NDArray[np.float64]:
    """|t| of each setting under each sign pattern: [setting, pattern]."""
    n = units.shape[1]
    means = units @ signs / n
    spread = (units**2).sum(axis=1, keepdims=True) - n * means**2
    error = np.sqrt(np.maximum(spread, 0.0) / (n * (n - 1)))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.abs(means) / error
    return np.where(np.abs(means) <= 1e-12, 0.0, np.nan_to_num(found, nan=0.0, posinf=np.inf))


def _sign_patterns(n_units: int, seed: int) -> Sequence[NDArray[np.float64]]:
    """Sign patterns, one per column: all of them for few units, otherwise random ones."""
    if n_units <= MAX_EXACT:
        bits = (np.arange(2**n_units)[None] >> np.arange(n_units)[:, None]) & 1
        signs = 1.0 - 2.0 * bits
    else:
        signs = np.random.default_rng(seed).choice((-1.0, 1.0), size=(n_units, N_FLIPS))
    return [signs[:, start : start + _TOGETHER] for start in range(0, signs.shape[1], _TOGETHER)]
