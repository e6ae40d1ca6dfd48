"""Factors of centred tokens, against the matrix itself."""

from __future__ import annotations

import numpy as np
import pytest

from svdaudio.errors import ConfigError, EmptyRegionError
from svdaudio.svd.centred import aggregate_centred, factorize_centred
from svdaudio.svd.factors import aggregate, factorize

GRID = np.arange(40) % 3 == 0
WEIGHTS = np.where(GRID, np.linspace(0.2, 1.0, 40), 0.0)


@pytest.fixture(scope="module")
def tokens():
    """Rows that share a direction, like the tokens of a picture."""
    random = np.random.default_rng(3)
    rows = random.standard_normal(64) + 0.3 * random.standard_normal((41, 64))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def from_the_matrix(tokens, weights, centre, k, factor):
    """The definition, written out: X' = 1 μᵀ + U Σ' Vᵀ, and its weighted mean."""
    inside = weights > 0
    rows, w = tokens[np.r_[True, inside]].astype(np.float64), np.r_[1.0, weights[inside]]
    own = w if centre == "rows" else np.r_[0.0, weights[inside]]
    mean = own @ rows / own.sum()
    u, s, vh = np.linalg.svd(rows - mean, full_matrices=False)
    s[:k] *= factor
    changed = w @ (mean + u @ np.diag(s) @ vh) / w.sum()
    return changed / np.linalg.norm(changed)


@pytest.mark.parametrize("centre", ["rows", "patches"])
@pytest.mark.parametrize(("k", "factor"), [(1, 0.0), (1, 3.0), (5, 0.3), (5, 1.5), (100, 0.5)])
@pytest.mark.parametrize("weights", [GRID.astype(float), WEIGHTS], ids=["grid", "weights"])
def test_it_is_the_weighted_mean_of_the_changed_matrix(tokens, centre, k, factor, weights):
    found = aggregate_centred(factorize_centred(tokens, weights, centre=centre), k=k, factor=factor)
    np.testing.assert_allclose(found, from_the_matrix(tokens, weights, centre, k, factor), atol=1e-6)


@pytest.mark.parametrize("centre", ["rows", "patches"])
def test_with_factor_1_it_equals_the_published_aggregate(tokens, centre):
    found = aggregate_centred(factorize_centred(tokens, GRID, centre=centre), k=3, factor=1.0)
    np.testing.assert_allclose(found, aggregate(factorize(tokens, GRID), k=3, factor=1.0), atol=1e-6)


def test_factors_have_no_effect_about_the_mean_of_all_rows_but_about_that_of_the_patches(tokens):
    rows = factorize_centred(tokens, WEIGHTS, centre="rows")
    still = aggregate_centred(rows, k=1, factor=1.0)
    for k, factor in ((1, 0.0), (5, 0.0), (5, 1000.0)):
        np.testing.assert_allclose(aggregate_centred(rows, k=k, factor=factor), still, atol=2e-4)
    patches = factorize_centred(tokens, WEIGHTS, centre="patches")
    assert float(aggregate_centred(patches, k=100, factor=10.0) @ still) < 0.99


def test_invalid_values_are_refused(tokens):
    with pytest.raises(EmptyRegionError):
        factorize_centred(tokens, np.zeros(40), centre="patches")
    centred = factorize_centred(tokens, GRID, centre="rows")
    with pytest.raises(ConfigError):
        aggregate_centred(centred, k=0, factor=1.0)
    with pytest.raises(ConfigError):
        aggregate_centred(centred, k=1, factor=-1.0)
