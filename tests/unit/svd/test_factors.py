"""Factors of a region, and embeddings computed from them."""

from __future__ import annotations

import numpy as np
import pytest

from svdaudio.errors import ConfigError, EmptyRegionError, InputError
from svdaudio.svd.factors import Factors, aggregate, aggregate_many, factorize, reach, svd_manipulate


@pytest.fixture(scope="module")
def tokens():
    found = np.random.default_rng(0).standard_normal((257, 768)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def grid():
    return np.arange(256) % 23 == 0


def by_definition(tokens, weights, k, factor):
    """Steps 5 and 6 as they are written: X' in full, then the weighted mean of its rows."""
    inside = weights > 0
    rows = tokens[np.concatenate([[True], inside])].astype(np.float64)
    u, s, vh = np.linalg.svd(rows, full_matrices=False)
    s[:k] *= factor
    share = np.concatenate([[1.0], weights[inside]])
    mean = share / share.sum() @ (u * s @ vh)
    return mean / np.linalg.norm(mean)


@pytest.mark.parametrize("k", [1, 5, 12, 13, 500])
@pytest.mark.parametrize("factor", [0.1, 1.0, 3.0])
def test_the_fast_aggregate_equals_the_full_computation(tokens, grid, k, factor):
    found = aggregate(factorize(tokens, grid), k=k, factor=factor)
    np.testing.assert_allclose(found, by_definition(tokens, grid, k, factor), atol=1e-6)


def test_fractional_weights_count_proportionally(tokens):
    weights = np.linspace(-0.5, 1, 256).clip(0)
    found = aggregate(factorize(tokens, weights), k=3, factor=0.3)
    np.testing.assert_allclose(found, by_definition(tokens, weights, 3, 0.3), atol=1e-6)


def test_factors_reconstruct_the_region(tokens, grid):
    factors = factorize(tokens, grid)
    rows = tokens[np.concatenate([[True], grid])]
    np.testing.assert_allclose(factors.u * factors.s @ factors.vh, rows, atol=1e-6)
    assert factors.weights.tolist() == [1.0] * len(rows)


def test_the_signs_that_lapack_picks_do_not_matter(tokens, grid):
    factors = factorize(tokens, grid)
    signs = np.where(np.arange(len(factors.s)) % 2, -1, 1).astype(np.float32)
    turned = Factors(u=factors.u * signs, s=factors.s, vh=factors.vh * signs[:, None], weights=factors.weights)
    assert np.array_equal(aggregate(turned, k=4, factor=0.2), aggregate(factors, k=4, factor=0.2))


def test_signs_are_normalised_for_the_artifact(tokens, grid):
    vh = factorize(tokens, grid).vh
    assert (vh[np.arange(len(vh)), np.abs(vh).argmax(axis=1)] > 0).all()


def test_many_settings_at_once_equal_single_ones(tokens, grid):
    factors = factorize(tokens, grid)
    ks, gains = np.array([1, 5, 40]), np.array([0.0, 1.5, 0.3])
    together = aggregate_many(factors, ks=ks, gains=gains)
    for k, gain, row in zip(ks, gains, together, strict=True):
        np.testing.assert_allclose(aggregate(factors, k=int(k), factor=float(gain)), row, atol=1e-6)


def test_ten_thousand_settings_are_one_call(tokens, grid):
    ks = np.tile(np.arange(1, 101), 100)
    gains = np.repeat(np.linspace(0.1, 3, 100), 100)
    found = aggregate_many(factorize(tokens, grid), ks=ks, gains=gains)
    assert found.shape == (10_000, 768)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_a_region_of_one_patch_works(tokens):
    grid = np.zeros(256, bool)
    grid[7] = True
    factors = factorize(tokens, grid)
    assert factors.s.shape == (2,)
    assert aggregate(factors, k=5, factor=0.3).shape == (768,)


def test_an_empty_region_is_an_error(tokens):
    with pytest.raises(EmptyRegionError, match="no patch"):
        factorize(tokens, np.zeros(256, bool))


def test_removing_everything_is_an_error(tokens, grid):
    with pytest.raises(EmptyRegionError, match="nothing is left"):
        aggregate(factorize(tokens, grid), k=500, factor=0.0)


@pytest.mark.parametrize("k", [0, -3, 2.5, "5"])
def test_an_invalid_k_is_refused(tokens, grid, k):
    with pytest.raises(ConfigError, match="K is invalid"):
        aggregate(factorize(tokens, grid), k=k, factor=0.3)


@pytest.mark.parametrize("factor", [-0.1, float("nan"), float("inf")])
def test_an_invalid_factor_is_refused(tokens, grid, factor):
    with pytest.raises(ConfigError, match="factor"):
        aggregate(factorize(tokens, grid), k=5, factor=factor)


def test_modes_select_their_factor(tokens, grid):
    def manipulated(mode):
        return svd_manipulate(tokens[0], tokens[1:], grid, k=5, mode=mode, alpha=0.2, beta=2.0)

    factors = factorize(tokens, grid)
    assert np.array_equal(manipulated("suppress"), aggregate(factors, k=5, factor=0.2))
    assert np.array_equal(manipulated("boost"), aggregate(factors, k=5, factor=2.0))
    with pytest.raises(ConfigError, match="'suppress' or 'boost'"):
        manipulated("remove")


def test_shapes_and_numbers_are_checked(tokens, grid):
    with pytest.raises(InputError, match="do not match"):
        factorize(tokens, grid[:-1])
    broken = tokens.copy()
    broken[3, 3] = np.nan
    with pytest.raises(InputError, match="finite"):
        factorize(broken, grid)
    with pytest.raises(InputError, match="finite"):
        factorize(tokens, -grid.astype(np.float32))


@pytest.mark.parametrize(("k", "factor"), [(1, 0.3), (3, 1.5), (5, 0.1), (500, 0.3), (2, 1.0)])
def test_the_reach_is_the_angle_between_the_embeddings(k, factor):
    rng = np.random.default_rng(4)
    tokens = rng.normal(size=(257, 64)) + 0.3
    tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
    grid = np.zeros(256, bool)
    grid[20:60] = True
    factors = factorize(tokens.astype(np.float32), grid)
    found = reach(factors, k=k, factor=factor)
    before, after = (aggregate(factors, k=k, factor=f).astype(np.float64) for f in (1.0, factor))
    assert found.degrees == pytest.approx(np.degrees(np.arccos(min(1.0, before @ after))), abs=0.05)
    first = factors.vh[:k].astype(np.float64)
    assert found.share == pytest.approx(np.linalg.norm(first @ before), abs=1e-5)


def test_scaling_all_components_has_no_reach():
    factors = factorize(np.eye(257, 8, dtype=np.float32) + 0.1, np.arange(256) < 3)
    assert reach(factors, k=100, factor=0.3).degrees == 0
    with pytest.raises(ConfigError):
        reach(factors, k=0, factor=0.3)
