"""How an objective responds to parameters: levels, response curves, heat maps of pairs, and importance.

The importance of a parameter is the share of the variance between settings that its main effect explains, as in a
functional ANOVA: with m the mean of each setting and m_l the mean over the settings at level l,
Σ_l n_l (m_l − m̄)² / Σ (m − m̄)². On a full grid the shares and that of all interactions sum to 1. Random
settings are not balanced; their shares are corrected for what levels explain by chance (ε², Kelley 1935): (L − 1) times
the mean square within levels is subtracted from the numerator. A negative share counts as 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.studies.study_spec import is_number

MAX_LEVELS = 12
"""Most values of a parameter that each form a level; more numbers are binned."""
N_BINS = 6


@dataclass(frozen=True, kw_only=True)
class Level:
    """A value of a parameter, or a bin of its values, and the settings that have it."""

    label: str
    x: float | None
    """The number, or the mean of the bin; None for other values."""
    settings: NDArray[np.intp]
    """Indices of the settings."""


def levels(settings: Sequence[Mapping[str, Any]], name: str) -> list[Level]:
    """The levels of a parameter over settings, numbers in ascending order.

    Settings without a value of the parameter belong to no level.

    Args:
        settings: dotted name → value.
        name: of the parameter.
    """
    places: dict[str, list[int]] = {}
    values: dict[str, Any] = {}
    for place, setting in enumerate(settings):
        if name in setting:
            places.setdefault(_label(setting[name]), []).append(place)
            values.setdefault(_label(setting[name]), setting[name])
    numeric = all(is_number(value) for value in values.values())
    if numeric:
        values = dict(sorted(values.items(), key=lambda item: item[1]))
    if not numeric or len(values) <= MAX_LEVELS:
        return [
            Level(label=label, x=float(value) if numeric else None, settings=np.array(places[label], np.intp))
            for label, value in values.items()
        ]
    ordered = np.array([place for label in values for place in places[label]], np.intp)
    numbers = np.array([float(settings[place][name]) for place in ordered])
    found: list[Level] = []
    for bin_ in np.array_split(np.arange(len(ordered)), N_BINS):
        low, high = numbers[bin_[0]], numbers[bin_[-1]]
        found.append(Level(label=f"{low:.3g} to {high:.3g}", x=float(numbers[bin_].mean()), settings=ordered[bin_]))
    return found


def _label(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def averages(values: Float[NDArray[np.float64], "setting sample"], parts: Sequence[NDArray[np.intp]]) -> NDArray[Any]:
    """The mean over some settings, sample by sample: [part, sample], NaN if none has a result."""
    there = ~np.isnan(values)
    filled = np.where(there, values, 0.0)
    sums = np.array([filled[part].sum(axis=0) for part in parts])
    counts = np.array([there[part].sum(axis=0) for part in parts])
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def grid_means(
    means: Float[NDArray[np.float64], " setting"], across: Sequence[Level], down: Sequence[Level]
) -> list[list[float | None]]:
    """The mean over the settings at each pair of levels: a row for each of `down`; None if there is none."""
    found: list[list[float | None]] = []
    for row in down:
        cells = [means[np.intersect1d(row.settings, column.settings)] for column in across]
        kept = [cell[~np.isnan(cell)] for cell in cells]
        found.append([float(cell.mean()) if cell.size else None for cell in kept])
    return found


def main_effects(
    means: Float[NDArray[np.float64], " setting"], parameters: Mapping[str, Sequence[Level]], *, balanced: bool
) -> dict[str, float]:
    """The importance of each parameter, 0 to 1, as the module defines it; empty if all settings have one mean.

    Args:
        means: of the objective, NaN where a setting has no result.
        parameters: name → levels over these settings.
        balanced: whether the settings are a full grid; else shares are corrected.
    """
    known = ~np.isnan(means)
    if known.sum() < 2:
        return {}
    centred = means - means[known].mean()
    total = float((centred[known] ** 2).sum())
    if total <= 1e-18:
        return {}
    found: dict[str, float] = {}
    for name, own in parameters.items():
        groups = [centred[one.settings][~np.isnan(centred[one.settings])] for one in own]
        groups = [group for group in groups if group.size]
        between = float(sum(group.size * group.mean() ** 2 for group in groups))
        n, n_levels = sum(group.size for group in groups), len(groups)
        if not balanced and n > n_levels:
            within = float(sum(((group - group.mean()) ** 2).sum() for group in groups)) / (n - n_levels)
            between -= (n_levels - 1) * within
        found[name] = min(1.0, max(0.0, between / total))
    return found
