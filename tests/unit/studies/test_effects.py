"""Means, differences and p-values of studies, against independent computations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from svdaudio.studies.effects import adjusted_p, effects


def made_up(n_settings, n_scenes, n_seeds, seed=0):
    """A study in which scenes differ more than seeds do, and setting 1 is better by 0.5."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 0.2, (n_settings, n_scenes, n_seeds)) + rng.normal(0, 1, (1, n_scenes, 1))
    values[1] += 0.5
    return values


def test_means_and_differences_are_paired():
    values = made_up(3, 5, 4)
    found = effects(values)
    assert [one.mean.value for one in found] == pytest.approx(values.mean(axis=(1, 2)))
    assert [one.mean.n for one in found] == [20, 20, 20]
    assert found[0].difference is None
    assert found[0].p is None
    assert found[1].difference.value == pytest.approx((values[1] - values[0]).mean())
    for one in found:
        assert one.mean.low < one.mean.value < one.mean.high
    # scenes cancel in the difference, not in the mean
    assert found[1].mean.high - found[1].mean.low > 3 * (found[1].difference.high - found[1].difference.low)
    assert found[1].difference.low > 0


def test_the_interval_resamples_scenes_and_seeds():
    values = made_up(2, 4, 3)
    (_, found) = effects(values)
    rng = np.random.default_rng(99)
    means = []
    for _ in range(20_000):
        scenes = [values[1, scene] for scene in rng.integers(4, size=4)]
        means.append(np.mean([one[rng.integers(3, size=3)] for one in scenes]))
    assert (found.mean.low, found.mean.high) == pytest.approx(np.quantile(means, (0.025, 0.975)), abs=0.08)


def test_with_many_independent_scenes_the_interval_is_that_of_normal_theory():
    values = np.random.default_rng(1).normal(size=(1, 400, 1))
    (found,) = effects(values)
    half = 1.96 * values.std(ddof=1) / 20
    wanted = (values.mean() - half, values.mean() + half)
    assert (found.mean.low, found.mean.high) == pytest.approx(wanted, abs=0.02)


def test_one_run_has_no_interval_and_one_scene_has_that_of_its_seeds():
    (alone,) = effects(np.array([[[0.5]]]))
    assert (alone.mean.value, alone.mean.low, alone.mean.n) == (0.5, None, 1)
    (scene,) = effects(np.array([[[0.0, 1.0]]]))
    assert (scene.mean.low, scene.mean.high) == (0.0, 1.0)


def test_missing_runs_are_excluded():
    values = made_up(3, 2, 4)
    values[1, 0, 0] = np.nan
    values[2] = np.nan
    found = effects(values)
    assert found[1].mean.value == pytest.approx(np.nanmean(values[1]))
    assert (found[1].mean.n, found[1].difference.n) == (7, 7)
    assert found[1].difference.value == pytest.approx(np.nanmean(values[1] - values[0]))
    assert (found[2].mean, found[2].difference, found[2].p) == (None, None, None)


@pytest.mark.parametrize(("n_scenes", "n_seeds"), [(7, 3), (2, 4)])
def test_p_of_two_settings_is_that_of_a_sign_flip_test(n_scenes, n_seeds):
    values = made_up(2, n_scenes, n_seeds, seed=5)
    values[1] -= 0.4
    differences = values[1] - values[0]
    units = differences.mean(axis=1) if n_scenes >= 6 else differences.ravel()
    wanted = stats.permutation_test((units,), np.mean, permutation_type="samples", n_resamples=10_000)
    assert adjusted_p(values)[1] == pytest.approx(wanted.pvalue)


def test_p_values_are_corrected_for_the_choice_among_many_settings():
    values = np.random.default_rng(3).normal(size=(40, 1, 8))
    values[7] += 1.2
    alone = [adjusted_p(values[[0, place]])[1] for place in range(1, 40)]
    together = adjusted_p(values)[1:]
    assert min(alone) < 0.05 < min(together)  # setting 7 alone would be significant
    assert (together >= np.array(alone) - 1e-12).all()


def test_false_positives_are_rare():
    p = [np.nanmin(adjusted_p(np.random.default_rng(seed).normal(size=(6, 1, 7)))) for seed in range(200)]
    assert np.mean(np.array(p) <= 0.05) < 0.1


def test_drawn_patterns_agree_with_a_t_test():
    values = made_up(2, 30, 2, seed=2)
    values[1] -= 0.47
    units = (values[1] - values[0]).mean(axis=1)
    assert adjusted_p(values)[1] == pytest.approx(stats.ttest_1samp(units, 0).pvalue, abs=0.03)


def test_too_few_runs_are_inconclusive():
    assert adjusted_p(made_up(3, 1, 5)) is None
    assert adjusted_p(np.ones((1, 9, 9))) is None
    same = np.zeros((2, 1, 6))
    assert adjusted_p(same)[1] == 1.0
    same[1] += 0.25  # no variance at all: the two patterns of equal signs out of 64
    assert adjusted_p(same)[1] == pytest.approx(2 / 64)
