"""Levels, response curves and importance."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from svdaudio.studies.responses import averages, grid_means, levels, main_effects

GRID = [{"a": a, "b": b} for a, b in itertools.product((1, 2, 3), ("x", "y"))]


def test_levels_are_values_in_order():
    assert [(one.label, one.x, list(one.settings)) for one in levels(GRID, "a")] == [
        ("1", 1.0, [0, 1]), ("2", 2.0, [2, 3]), ("3", 3.0, [4, 5])
    ]  # fmt: skip
    assert [(one.label, one.x) for one in levels(GRID, "b")] == [("x", None), ("y", None)]
    assert [one.x for one in levels([{"a": 3}, {"a": 0.5}, {}, {"a": 3}], "a")] == [0.5, 3.0]
    assert [one.label for one in levels([{"a": True}, {"a": False}], "a")] == ["True", "False"]


def test_many_numbers_are_put_into_bins():
    settings = [{"a": value} for value in np.random.default_rng(0).permutation(100) / 100]
    found = levels(settings, "a")
    assert len(found) == 6
    assert sorted(place for one in found for place in one.settings) == list(range(100))
    assert [one.x for one in found] == sorted(one.x for one in found)
    assert all(settings[place]["a"] < found[1].x for place in found[0].settings)


def test_averages_and_heat_maps_ignore_missing_values():
    values = np.arange(12.0).reshape(6, 2)
    values[0, 0] = np.nan
    values[2:4, 1] = np.nan
    found = averages(values, [one.settings for one in levels(GRID, "a")])
    np.testing.assert_allclose(found, [[2, 2], [5, np.nan], [9, 10]])
    means = np.array([1.0, 2, 3, np.nan, 5, 6])
    assert grid_means(means, levels(GRID, "a"), levels(GRID, "b")) == [[1, 3, 5], [2, None, 6]]


def test_importance_on_a_grid_is_the_variance_that_a_parameter_explains():
    rng = np.random.default_rng(4)
    settings = [{"a": a, "b": b, "c": c} for a, b, c in itertools.product(range(4), range(3), range(2))]
    means = np.array([one["a"] + 2 * one["b"] * one["c"] for one in settings]) + rng.normal(0, 0.3, len(settings))
    found = main_effects(means, {name: levels(settings, name) for name in "abc"}, balanced=True)
    for name in "abc":  # the R² of a regression on the parameter's levels alone
        design = np.eye(4)[[one[name] for one in settings]]
        fitted = design @ np.linalg.lstsq(design, means, rcond=None)[0]
        assert found[name] == pytest.approx(1 - ((means - fitted) ** 2).sum() / ((means - means.mean()) ** 2).sum())
    assert 0.5 < sum(found.values()) < 1  # the rest is the interaction of b and c


def test_importance_of_drawn_settings_is_corrected_for_chance():
    rng = np.random.default_rng(6)
    settings = [{"a": a, "b": b} for a, b in zip(rng.random(60), rng.random(60), strict=True)]
    luck = [main_effects(rng.normal(size=60), {"a": levels(settings, "a")}, balanced=False)["a"] for _ in range(100)]
    plain = [main_effects(rng.normal(size=60), {"a": levels(settings, "a")}, balanced=True)["a"] for _ in range(100)]
    assert np.mean(luck) < 0.04
    assert np.mean(plain) > 0.07
    strong = main_effects(
        np.array([one["a"] for one in settings]), {n: levels(settings, n) for n in "ab"}, balanced=False
    )
    assert strong["a"] > 0.9
    assert strong["b"] < 0.2


def test_identical_settings_have_no_important_parameter():
    parameters = {"a": levels(GRID, "a")}
    assert main_effects(np.full(6, 0.3), parameters, balanced=True) == {}
    assert main_effects(np.full(6, np.nan), parameters, balanced=True) == {}
