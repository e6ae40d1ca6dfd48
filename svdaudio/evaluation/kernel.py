"""The kernel audio distance: an unbiased comparison of two sets of features that works with few clips."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist

from svdaudio.figures import bootstrap

SCALE = 100.0
"""Factor of kadtk (`SCALE_FACTOR`), so that values are comparable with its tables."""
MIN_CLIPS = 10
"""Smallest number of clips in each set for an interval."""


class KernelDistance(NamedTuple):
    """A kernel audio distance and its interval."""

    value: float
    low: float | None
    """Lower end of the 95 % bootstrap interval; None below ten clips, whose resamples are not informative."""
    high: float | None


def median_distance(reference: Float[NDArray[np.floating], "clip dim"]) -> float:
    """The bandwidth: median Euclidean distance of the pairs of the reference set."""
    return float(np.median(pdist(np.asarray(reference, np.float64))))


def kernel_audio_distance(
    features: Float[NDArray[np.floating], "clip dim"],
    reference: Float[NDArray[np.floating], "reference_clip dim"],
    *,
    n_resamples: int = 1000,
) -> KernelDistance:
    """KAD, the unbiased squared maximum mean discrepancy times 100; lower is closer, and chance can make it negative.

        KAD = 100 · [ Σ_{i≠j} k(xᵢ, xⱼ) / m(m−1) + Σ_{i≠j} k(yᵢ, yⱼ) / n(n−1) − 2 Σ_{ij} k(xᵢ, yⱼ) / mn ]
        k(a, b) = exp(−‖a − b‖² / 2σ²),  σ = median distance within the reference set

    Chung et al. 2025 (arXiv 2502.15602), with factor, kernel and bandwidth of their kadtk at commit 7ec65d7. Earlier
    versions take the bandwidth from the evaluated set, contrary to their documentation.

    Unbiased for independent clips. Sets with a fixed number of clips of each class are not: see docs/evaluation.md.

    The interval resamples the clips of both sets. A clip that is drawn twice is not compared with itself: such pairs
    have a kernel of 1 and would raise every resample.

    Args:
        features: of the sounds.
        reference: of the reference set, which gives the bandwidth.
        n_resamples: number of resamples for the interval.

    Raises:
        ValueError: a set has fewer than two clips, or the median distance in the reference is 0.
    """
    if min(len(features), len(reference)) < 2:
        raise ValueError("a set of a single clip has no pairs")
    first, second = (np.asarray(one, np.float64) for one in (features, reference))
    bandwidth = median_distance(second)
    if not bandwidth > 0:
        raise ValueError("more than half of the pairs of the reference are identical")

    def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.exp(-cdist(a, b, "sqeuclidean") / (2 * bandwidth**2))

    within, across, outside = kernel(first, first), kernel(first, second), kernel(second, second)
    for own in (within, outside):
        np.fill_diagonal(own, 0.0)

    def distance(ours: NDArray[np.intp], theirs: NDArray[np.intp]) -> float:
        return _distance(
            np.bincount(ours, minlength=len(first)), np.bincount(theirs, minlength=len(second)), within, outside, across
        )

    value = distance(np.arange(len(first)), np.arange(len(second)))
    if min(len(first), len(second)) < MIN_CLIPS:
        return KernelDistance(value=value, low=None, high=None)
    low, high = bootstrap(distance, len(first), len(second), n_resamples=n_resamples)
    return KernelDistance(value=value, low=low, high=high)


def _distance(
    ours: NDArray[np.intp],
    theirs: NDArray[np.intp],
    within: NDArray[np.float64],
    outside: NDArray[np.float64],
    across: NDArray[np.float64],
) -> float:
    """KAD with a count for each clip; kernels within a set have a diagonal of 0."""

    def mean_of_pairs(counts: NDArray[np.intp], kernels: NDArray[np.float64]) -> float:
        return float(counts @ kernels @ counts) / (counts.sum() ** 2 - (counts**2).sum())

    mean_across = float(ours @ across @ theirs) / (ours.sum() * theirs.sum())
    return SCALE * float(mean_of_pairs(ours, within) + mean_of_pairs(theirs, outside) - 2.0 * mean_across)
