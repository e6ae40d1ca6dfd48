"""The Fréchet distance against the usual form with a matrix root, and on Gaussians with known distances."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from svdaudio.evaluation.frechet import frechet_distance


@pytest.fixture
def sets():
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(6, 6))
    return rng.normal(size=(40, 6)) @ mix, rng.normal(1.0, 2.0, size=(25, 6))


def test_it_agrees_with_the_form_with_a_matrix_root(sets):
    ours, theirs = sets
    first, second = (np.cov(each, rowvar=False) for each in sets)
    offset = ours.mean(axis=0) - theirs.mean(axis=0)
    wanted = offset @ offset + np.trace(first + second - 2 * sqrtm(first @ second).real)
    assert frechet_distance(ours, theirs) == pytest.approx(wanted, rel=1e-9)
    assert frechet_distance(theirs, ours) == pytest.approx(wanted, rel=1e-9)


def test_a_set_has_distance_zero_to_itself_and_a_shift_its_square(sets):
    ours, _ = sets
    assert frechet_distance(ours, ours) == pytest.approx(0.0, abs=1e-9)
    shift = np.array([3.0, 0, 4.0, 0, 0, 0])
    assert frechet_distance(ours + shift, ours) == pytest.approx(25.0, rel=1e-9)
    assert frechet_distance(3 * ours, ours) == pytest.approx(
        4 * (np.square(ours.mean(axis=0)).sum() + np.trace(np.cov(ours, rowvar=False))), rel=1e-9
    )


def test_one_dimension():
    ours, theirs = np.array([[1.0], [3.0]]), np.array([[2.0], [10.0]])
    assert frechet_distance(ours, theirs) == pytest.approx((2 - 6) ** 2 + (2**0.5 - 32**0.5) ** 2)


def test_few_clips_give_no_covariance(sets):
    ours, theirs = sets
    with pytest.raises(
        ValueError, match="set: 6 clips are too few for a covariance of 6 dimensions, which needs more than 6"
    ):
        frechet_distance(ours[:6], theirs)
    with pytest.raises(ValueError, match="reference: 2 clips"):
        frechet_distance(ours, theirs[:2])
