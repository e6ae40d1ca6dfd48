"""Many mixes of one edit at once against single mixes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

from svdaudio.errors import ConfigError, EmptyRegionError, InputError
from svdaudio.svd.factors import factorize
from svdaudio.svd.many import EditParts, MixColumns, cosines, degrees_between, mix_many, unscaled
from svdaudio.svd.mix import MixWeights, background_embedding, manipulate, manipulate_one

USUAL = {
    "k": 5, "alpha": 0.3, "beta": 1.5, "suppress": 0.1, "boost": 0.4, "background": 0.1, "direct": 0.4
}  # fmt: skip
NAMES = [field.name for field in fields(MixColumns)]


def columns(*settings):
    """Settings as columns; missing values are defaults."""
    rows = [{**USUAL, **setting} for setting in settings]
    return MixColumns(
        **{name: np.array([row[name] for row in rows], np.int64 if name == "k" else np.float64) for name in NAMES}
    )


def drawn(n_settings, seed):
    random = np.random.default_rng(seed)
    ends = {"alpha": (0, 1), "beta": (1, 3), "suppress": (0, 0.3), "boost": (0.2, 0.6), "background": (0, 0.3),
            "direct": (0.2, 0.6)}  # fmt: skip
    return [
        {
            "k": int(random.integers(1, 41)),
            **{name: float(random.uniform(*low_high)) for name, low_high in ends.items()},
        }
        for _ in range(n_settings)
    ]


@pytest.fixture(scope="module")
def parts():
    random = np.random.default_rng(0)
    tokens = [random.standard_normal((257, 768)).astype(np.float32) for _ in range(2)]
    tokens = [t / np.linalg.norm(t, axis=1, keepdims=True) for t in tokens]
    grids = [np.arange(256) % 23 == 0, np.arange(256) % 31 == 1]
    return EditParts(
        removed=factorize(tokens[0], grids[0]),
        added=factorize(tokens[1], grids[1]),
        background=background_embedding(tokens[1], *grids),
        direct=tokens[1][0],
    )


def one_by_one(parts, settings):
    found = []
    for setting in settings:
        k, alpha, beta, *weights = {**USUAL, **setting}.values()
        mixed = manipulate(
            removed=parts.removed, added=parts.added, background=parts.background, direct=parts.direct,
            k=k, alpha=alpha, beta=beta,
            weights=MixWeights(suppress=weights[0], boost=weights[1], background=weights[2], direct=weights[3]),
        )  # fmt: skip
        found.append(mixed.embedding)
    return np.stack(found)


def test_many_settings_at_once_equal_one_after_the_other(parts):
    settings = drawn(300, seed=1)
    found = mix_many(parts, columns(*settings))
    np.testing.assert_allclose(found, one_by_one(parts, settings), atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("side", "missing", "factor", "weight"),
    [("removed", "added", "alpha", "suppress"), ("added", "removed", "beta", "boost")],
)
def test_an_edit_with_one_region(parts, side, missing, factor, weight):
    settings = drawn(20, seed=2)
    found = mix_many(replace(parts, **{missing: None}), columns(*settings))
    for row, setting in zip(found, settings, strict=True):
        _, mixed = manipulate_one(
            region=getattr(parts, side), background=parts.background, direct=parts.direct, k=setting["k"],
            factor=setting[factor], weight=setting[weight],
            background_weight=setting["background"], direct_weight=setting["direct"],
        )  # fmt: skip
        np.testing.assert_allclose(row, mixed, atol=2e-6)


def test_the_result_of_a_setting_does_not_depend_on_the_others(parts):
    settings = drawn(50, seed=2)
    found = mix_many(parts, columns(*settings))
    backwards = mix_many(parts, columns(*settings[::-1]))[::-1]
    np.testing.assert_allclose(found, backwards, atol=1e-6)


def test_a_missing_background_drops_out(parts):
    bare = replace(parts, background=parts.background[:0])
    settings = [{"background": 0.0}, {"background": 0.5}]
    found = mix_many(bare, columns(*settings))
    np.testing.assert_allclose(found, one_by_one(bare, settings), atol=1e-6)
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ({"k": 0}, ConfigError),
        ({"alpha": -1.0}, ConfigError),
        ({"beta": float("nan")}, ConfigError),
        ({"boost": -0.1}, ConfigError),
        ({"suppress": 0, "boost": 0, "background": 0, "direct": 0}, ConfigError),
        ({"k": 500, "alpha": 0.0}, EmptyRegionError),
    ],
)
def test_an_invalid_setting_is_refused_as_in_a_single_mix(parts, setting, error):
    with pytest.raises(error):
        mix_many(parts, columns({}, setting))


def test_an_empty_mix_is_refused(parts):
    bare = replace(parts, background=parts.background[:0])
    only = {"suppress": 0.0, "boost": 0.0, "direct": 0.0, "background": 1.0}
    with pytest.raises(EmptyRegionError, match="the mix leaves nothing"):
        mix_many(bare, columns(only))


def test_parts_of_different_dimensions_are_refused(parts, unchecked_shapes):
    wrong = replace(parts, direct=parts.direct[:5])
    with pytest.raises(InputError, match="different shapes"):
        mix_many(wrong, columns({}))


def test_cosines_with_the_parts_of_the_mix(parts):
    only_direct = {"suppress": 0.0, "boost": 0.0, "background": 0.0, "direct": 1.0}
    found = cosines(
        mix_many(parts, columns(only_direct)),
        {"edited": parts.direct, "added": unscaled(parts.added)},
    )
    assert found["edited"][0] == pytest.approx(1, abs=1e-6)
    assert found["added"][0] < 0.9


def test_many_mixes_need_no_torch():
    program = "import sys, svdaudio.svd.many\nsys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_small_angles_are_not_lost_in_rounding():
    degrees = np.array([0.0, 0.004, 0.5, 90.0, 180.0])
    turned = np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0 * degrees], axis=1)
    found = degrees_between(3 * turned.astype(np.float32), np.array([1, 0, 0], np.float32))
    np.testing.assert_allclose(found, degrees, atol=1e-5)
