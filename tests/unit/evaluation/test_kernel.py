"""The kernel audio distance against a double loop, and on sets that are known to be similar or different."""

from __future__ import annotations

from itertools import combinations
from math import exp, hypot
from statistics import median

import numpy as np
import pytest

from svdaudio.evaluation.kernel import kernel_audio_distance, median_distance


def by_loops(ours, theirs):
    """KAD as its formula is written, pair by pair."""
    bandwidth = median(hypot(*(a - b)) for a, b in combinations(theirs, 2))

    def kernel(a, b):
        return exp(-(hypot(*(a - b)) ** 2) / (2 * bandwidth**2))

    def within(rows):
        n = len(rows)
        return sum(kernel(rows[i], rows[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))

    across = sum(kernel(a, b) for a in ours for b in theirs) / (len(ours) * len(theirs))
    return 100 * (within(ours) + within(theirs) - 2 * across)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_it_agrees_with_a_double_loop(shift):
    rng = np.random.default_rng(1)
    ours, theirs = rng.normal(shift, 1, (13, 4)), rng.normal(0, 2, (17, 4))
    assert kernel_audio_distance(ours, theirs).value == pytest.approx(by_loops(ours, theirs), rel=1e-9)


def test_the_bandwidth_comes_from_the_reference():
    rng = np.random.default_rng(2)
    ours, theirs = rng.normal(size=(12, 3)), 5 * rng.normal(size=(12, 3))
    assert median_distance(theirs) == pytest.approx(median(hypot(*(a - b)) for a, b in combinations(theirs, 2)))
    there, back = kernel_audio_distance(ours, theirs).value, kernel_audio_distance(theirs, ours).value
    assert there != pytest.approx(back, rel=0.01)
    assert kernel_audio_distance(10 * ours, 10 * theirs).value == pytest.approx(there, rel=1e-9)


def test_it_is_unbiased_for_few_clips():
    rng = np.random.default_rng(3)
    values = [
        kernel_audio_distance(rng.normal(size=(15, 8)), rng.normal(size=(15, 8)), n_resamples=1).value
        for _ in range(300)
    ]
    standard_error = np.std(values) / 300**0.5
    assert abs(np.mean(values)) < 4 * standard_error
    assert min(values) < 0 < max(values)


def test_the_interval_contains_the_value_and_separates_different_sets():
    rng = np.random.default_rng(4)
    theirs = rng.normal(size=(45, 8))
    alike = kernel_audio_distance(rng.normal(size=(45, 8)), theirs)
    other = kernel_audio_distance(rng.normal(1, 1, size=(45, 8)), theirs)
    for one in (alike, other):
        assert one.low is not None
        assert one.high is not None
        assert one.low < one.value < one.high
    assert alike.low < 0 < alike.high
    assert other.low > alike.high


def test_few_clips_have_no_interval():
    rng = np.random.default_rng(5)
    value, low, high = kernel_audio_distance(rng.normal(size=(9, 2)), rng.normal(size=(30, 2)))
    assert np.isfinite(value)
    assert (low, high) == (None, None)


def test_a_set_without_pairs_or_without_distances_is_refused():
    rows = np.random.default_rng(6).normal(size=(5, 2))
    with pytest.raises(ValueError, match="a single clip has no pairs"):
        kernel_audio_distance(rows[:1], rows)
    with pytest.raises(ValueError, match="pairs of the reference are identical"):
        kernel_audio_distance(rows, np.ones((4, 2)))
