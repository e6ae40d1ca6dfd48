"""Properties that hold for any tokens, region and setting."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from svdaudio.svd.align import patch_coverage
from svdaudio.svd.factors import aggregate, factorize
from svdaudio.svd.geometry import Geometry

N_PATCHES, DIM = 12, 9


@st.composite
def regions(draw):
    """Tokens of unit length and at least one patch that counts."""
    seed = draw(st.integers(0, 2**32 - 1))
    tokens = np.random.default_rng(seed).standard_normal((1 + N_PATCHES, DIM))
    tokens[0] += 2  # far from an exact balance, where the mean would vanish
    tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
    weights = draw(arrays(np.float64, N_PATCHES, elements=st.sampled_from([0, 0, 0.25, 0.5, 1])))
    weights[draw(st.integers(0, N_PATCHES - 1))] = 1
    return tokens, weights


@settings(max_examples=60, deadline=None)
@given(regions(), st.integers(1, 20), st.floats(0.05, 4))
def test_aggregate_is_the_weighted_mean_of_the_scaled_rows(region, k, factor):
    tokens, weights = region
    inside = weights > 0
    u, s, vh = np.linalg.svd(tokens[np.concatenate([[True], inside])], full_matrices=False)
    scaled = np.where(np.arange(len(s)) < k, s * factor, s)
    share = np.concatenate([[1.0], weights[inside]])
    mean = share @ (u * scaled @ vh)
    found = aggregate(factorize(tokens, weights), k=k, factor=factor)
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(found), 1, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(regions(), st.integers(1, 20))
def test_a_factor_of_one_changes_nothing(region, k):
    factors = factorize(*region)
    np.testing.assert_allclose(aggregate(factors, k=k, factor=1.0), aggregate(factors, k=1, factor=1.0), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(regions(), st.floats(0.05, 4))
def test_scaling_everything_changes_no_direction(region, factor):
    factors = factorize(*region)
    np.testing.assert_allclose(aggregate(factors, k=100, factor=factor), aggregate(factors, k=1, factor=1.0), atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(regions(), st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_the_order_of_patches_does_not_matter(region, seed, k):
    tokens, weights = region
    order = np.random.default_rng(seed).permutation(N_PATCHES)
    shuffled = factorize(np.concatenate([tokens[:1], tokens[1:][order]]), weights[order])
    found = aggregate(shuffled, k=k, factor=0.3)
    np.testing.assert_allclose(found, aggregate(factorize(tokens, weights), k=k, factor=0.3), atol=2e-4)


@settings(max_examples=40, deadline=None)
@given(arrays(bool, st.tuples(st.integers(2, 40), st.integers(2, 40))), st.sampled_from(list(Geometry)))
def test_coverage_is_a_fraction_and_complements_add_up_to_one(mask, geometry):
    coverage, rest = patch_coverage(mask, geometry), patch_coverage(~mask, geometry)
    assert coverage.min() >= 0
    assert coverage.max() <= 1
    np.testing.assert_allclose(coverage + rest, 1, atol=1e-6)
