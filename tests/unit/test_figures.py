"""Measured numbers: intervals, goals in both directions, the table."""

from __future__ import annotations

import numpy as np
import pytest

from svdaudio.figures import Figure, at_least, at_most, bootstrap, cluster_weights, markdown_table, mean_figure


def test_an_interval_contains_its_mean():
    figure = mean_figure("x", [0.0, 1.0] * 50)
    assert figure.low is not None
    assert figure.high is not None
    assert 0.35 < figure.low < figure.value == 0.5 < figure.high < 0.65


def test_the_interval_of_a_mean_is_a_bootstrap_interval():
    values = np.random.default_rng(2).normal(size=37)
    figure = mean_figure("x", values.tolist())
    assert (figure.low, figure.high) == bootstrap(lambda index: float(values[index].mean()), 37)


def test_a_goal_is_a_lower_or_an_upper_bound():
    assert Figure(name="x", value=0.9, n=1, goal=at_least(0.9)).reached is True
    assert Figure(name="x", value=0.9, n=1, goal=at_most(0.15)).reached is False
    assert Figure(name="x", value=0.1, n=1, goal=at_most(0.15)).reached is True
    assert Figure(name="x", value=0.1, n=1).reached is None


def test_the_table_has_each_figure_with_its_goal():
    table = markdown_table([
        mean_figure("added class rises", [1.0, 1.0], goal=at_least(0.9)),
        Figure(name="change of the kept class", value=0.125, n=3, goal=at_most(0.15)),
        Figure(name="seen", value=1.0, n=2),
    ])  # fmt: skip
    assert table.splitlines()[2:] == [
        "| added class rises | 1.000 [1.000, 1.000] | 2 | ≥ 0.90 |",
        "| change of the kept class | 0.125 | 3 | ≤ 0.15 |",
        "| seen | 1.000 | 2 |  |",
    ]


def test_weights_of_a_cluster_bootstrap_sum_to_one_and_draw_whole_scenes():
    weights = cluster_weights(3, 2, n_resamples=500, seed=1)
    assert weights.shape == (500, 6)
    assert weights.sum(axis=1) == pytest.approx(np.ones(500))
    by_scene = weights.reshape(500, 3, 2).sum(axis=2) * 3
    assert by_scene == pytest.approx(np.round(by_scene))
    assert weights.mean(axis=0) == pytest.approx(np.full(6, 1 / 6), abs=0.02)
