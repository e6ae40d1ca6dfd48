"""Measured numbers, each with its bootstrap interval, number of samples, and goal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TABLE_HEADING = "| figure, on held-out data | value [95 % interval] | samples | goal |"

N_RESAMPLES = 1000
ENDS = (0.025, 0.975)
"""Quantiles at the ends of an interval."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """The goal of a figure: at least or at most a bound."""

    bound: float
    at_most: bool = False

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.bound:.2f}"

    def holds(self, value: float) -> bool:
        """Whether a value reaches it."""
        return value <= self.bound if self.at_most else value >= self.bound


def at_least(bound: float) -> Goal:
    """The goal of reaching a bound."""
    return Goal(bound=bound)


def at_most(bound: float) -> Goal:
    """The goal of not exceeding a bound."""
    return Goal(bound=bound, at_most=True)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured number.

    Attributes:
        name: what was measured.
        value: the number.
        low: lower end of its 95 % bootstrap interval, if it has one.
        high: upper end.
        n: number of samples.
        goal: its goal, if it has one.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int
    goal: Goal | None = None

    def __str__(self) -> str:
        interval = f" [{self.low:.3f}, {self.high:.3f}]" if self.low is not None and self.high is not None else ""
        return f"{self.value:.3f}{interval}"

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without a goal."""
        return None if self.goal is None else self.goal.holds(self.value)


def bootstrap(
    statistic: Callable[..., float], *sizes: int, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of `statistic`, called with the indices of a resample of each set of samples."""
    rng = np.random.default_rng(seed)
    values = [statistic(*(rng.integers(n, size=n) for n in sizes)) for _ in range(n_resamples)]
    low, high = np.quantile(values, ENDS)
    return float(low), float(high)


def cluster_weights(
    n_clusters: int, n_within: int, *, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """Weight of each sample in each resample of a cluster bootstrap.

    Whole clusters are drawn with replacement, and in each of them its samples, so that an interval covers both the
    choice of clusters and that of samples; see Davison and Hinkley, Bootstrap Methods and their Application, section
    3.8. The mean of a resample is the sum of the samples times these weights.

    Args:
        n_clusters: number of clusters, such as scenes.
        n_within: samples of each cluster, such as seeds.
        n_resamples: number of resamples.
        seed: seed of the draws.

    Returns:
        [n_resamples, n_clusters * n_within], cluster by cluster; each row sums to 1.
    """
    rng = np.random.default_rng(seed)
    clusters = rng.integers(n_clusters, size=(n_resamples, n_clusters, 1))
    samples = clusters * n_within + rng.integers(n_within, size=(n_resamples, n_clusters, n_within))
    n_samples = n_clusters * n_within
    places = samples.reshape(n_resamples, -1) + np.arange(n_resamples)[:, None] * n_samples
    counts = np.bincount(places.ravel(), minlength=n_resamples * n_samples)
    return counts.reshape(n_resamples, n_samples) / n_samples


def draw_groups(rng: np.random.Generator, n_groups: int, *, n_resamples: int = N_RESAMPLES) -> NDArray[np.float64]:
    """How often each group is drawn in each resample of whole groups with replacement.

    Returns:
        [n_resamples, n_groups]; each row sums to `n_groups`.
    """
    places = rng.integers(n_groups, size=(n_resamples, n_groups)) + n_groups * np.arange(n_resamples)[:, None]
    return np.bincount(places.ravel(), minlength=n_groups * n_resamples).reshape(n_resamples, n_groups).astype(float)


def number_groups(names: Sequence[str]) -> NDArray[np.intp]:
    """A number for each name, counted from 0, the same for equal names."""
    return np.unique(np.array(names), return_inverse=True)[1]


def resampled_means(
    values: NDArray[np.float64] | NDArray[np.bool_], groups: Sequence[str], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Means of `N_RESAMPLES` resamples of whole groups, each with all of its samples.

    Samples of one group, such as cuts of one recording, are alike, so that an interval over samples would be too
    narrow; see Davison and Hinkley, Bootstrap Methods and their Application, section 3.8.

    Args:
        values: one for each sample.
        groups: group of each sample.
        rng: draws the groups.
    """
    numbers = number_groups(groups)
    sizes = np.bincount(numbers)
    drawn = draw_groups(rng, sizes.size)
    return (drawn @ np.bincount(numbers, weights=values)) / (drawn @ sizes)


def mean_figure(name: str, values: Sequence[float], *, goal: Goal | None = None) -> Figure:
    """The mean of some values and its interval."""
    array = np.asarray(values, np.float64)
    # As `bootstrap` draws and measures them, all resamples at once.
    resamples = np.random.default_rng(0).integers(array.size, size=(N_RESAMPLES, array.size))
    low, high = (float(end) for end in np.quantile(array[resamples].mean(axis=1), ENDS))
    return Figure(name=name, value=float(array.mean()), low=low, high=high, n=array.size, goal=goal)


def markdown_table(figures: Sequence[Figure]) -> str:
    """Figures as a markdown table."""
    rows = [TABLE_HEADING, "|---|---|---|---|"]
    rows += [f"| {f.name} | {f} | {f.n} | {f.goal or ''} |" for f in figures]
    return "\n".join(rows)
