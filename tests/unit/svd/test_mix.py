"""The background and the mix."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from svdaudio.errors import ConfigError, EmptyRegionError, InputError
from svdaudio.svd.factors import aggregate, factorize
from svdaudio.svd.mix import MixWeights, background_embedding, combine, manipulate

RNG = np.random.default_rng(1)
PARTS = {name: RNG.standard_normal(768).astype(np.float32) for name in ("suppress", "boost", "background", "direct")}
TOKENS = RNG.standard_normal((257, 768)).astype(np.float32)


def test_the_mix_is_the_normalised_weighted_sum():
    weights = MixWeights(suppress=0.1, boost=0.4, background=0.2, direct=0.3)
    expected = 0.1 * PARTS["suppress"] + 0.4 * PARTS["boost"] + 0.2 * PARTS["background"] + 0.3 * PARTS["direct"]
    np.testing.assert_allclose(combine(weights, **PARTS), expected / np.linalg.norm(expected), atol=1e-6)


def test_only_ratios_of_weights_matter():
    one = MixWeights(suppress=0.1, boost=0.4, background=0.1, direct=0.4)
    other = MixWeights(suppress=1, boost=4, background=1, direct=4)
    np.testing.assert_allclose(combine(one, **PARTS), combine(other, **PARTS), atol=1e-6)


def test_without_background_its_term_drops_out():
    weights = MixWeights(suppress=0.1, boost=0.4, background=0.2, direct=0.3)
    missing = combine(weights, **{**PARTS, "background": None})
    unweighted = combine(MixWeights(suppress=0.1, boost=0.4, background=0.0, direct=0.3), **PARTS)
    assert np.array_equal(missing, unweighted)


def test_a_mix_of_only_a_missing_background_is_an_error():
    weights = MixWeights(suppress=0, boost=0, background=1, direct=0)
    with pytest.raises(EmptyRegionError, match="leaves nothing"):
        combine(weights, suppress=PARTS["suppress"], boost=PARTS["boost"])


@pytest.mark.parametrize("wrong", [-0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["suppress", "boost", "background", "direct"])
def test_invalid_weights_are_refused(name, wrong):
    with pytest.raises(ConfigError, match="mixing weight"):
        MixWeights(**{name: wrong})


def test_weights_that_are_all_zero_are_refused():
    with pytest.raises(ConfigError, match="all 0"):
        MixWeights(suppress=0, boost=0, background=0, direct=0)


@pytest.mark.usefixtures("unchecked_shapes")
def test_a_direct_weight_needs_a_direct_embedding():
    with pytest.raises(InputError, match="direct"):
        combine(MixWeights(), suppress=PARTS["suppress"], boost=PARTS["boost"])
    with pytest.raises(InputError, match="different shapes"):
        combine(MixWeights(), **{**PARTS, "boost": PARTS["boost"][:5]})


def test_the_background_is_outside_of_both_regions():
    removed, added = np.zeros(256, bool), np.zeros(256, bool)
    removed[:200], added[150:250] = True, True
    found = background_embedding(TOKENS, removed, added)
    expected = TOKENS[251:].mean(axis=0)
    np.testing.assert_allclose(found, (expected / np.linalg.norm(expected))[None], atol=1e-6)


def test_regions_that_cover_everything_leave_no_background():
    half = np.arange(256) < 128
    assert background_embedding(TOKENS, half, ~half).shape == (0, 768)


@pytest.mark.parametrize("with_background", [True, False])
def test_the_manipulation_equals_its_steps(with_background):
    grid = np.arange(256) < 20
    removed, added = factorize(TOKENS, grid), factorize(TOKENS, ~grid)
    background = PARTS["background"][None] if with_background else np.zeros((0, 768), np.float32)
    found = manipulate(
        removed=removed,
        added=added,
        background=background,
        direct=PARTS["direct"],
        k=4,
        alpha=0.2,
        beta=2.0,
        weights=MixWeights(),
    )
    assert np.array_equal(found.suppress, aggregate(removed, k=4, factor=0.2))
    assert np.array_equal(found.boost, aggregate(added, k=4, factor=2.0))
    rest = PARTS["background"] if with_background else None
    expected = combine(
        MixWeights(), suppress=found.suppress, boost=found.boost, background=rest, direct=PARTS["direct"]
    )
    assert np.array_equal(found.embedding, expected)


def test_changing_a_factor_needs_no_torch():
    stages = ", ".join(f"svdaudio.tasks.edit.{name}" for name in ("align", "factors", "background", "mix"))
    code = f"import sys, svdaudio, {stages}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("part", ["suppress", "boost", "background", "direct"])
def test_a_single_part_is_returned_exactly(part):
    random = np.random.default_rng(0)
    parts = {}
    for name in ("suppress", "boost", "background", "direct"):
        vector = random.standard_normal(768)
        parts[name] = (vector / np.linalg.norm(vector)).astype(np.float32)
    weights = MixWeights(**{**dict.fromkeys(parts, 0.0), part: 0.4})
    np.testing.assert_array_equal(combine(weights, **parts), parts[part])
