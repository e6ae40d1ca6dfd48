"""Faded and blended embeddings."""

from __future__ import annotations

import numpy as np
import pytest

from svdaudio.errors import EmptyRegionError
from svdaudio.mixing.embeddings import blend, fade, overlay


def unit(seed):
    vector = np.random.default_rng(seed).normal(size=512)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


WHOLE, NO_CAT, NOTHING = unit(0), unit(1), unit(2)
CLAPS = {"all": WHOLE, "cat": NO_CAT, "cat+dog": NOTHING}


def test_with_equal_gains_the_embedding_is_exactly_that_of_the_picture():
    for gain in (0.0, -6.0, 3.0):
        assert np.array_equal(fade(CLAPS, {"cat": gain, "dog": gain, "rest": gain}), WHOLE)


def test_an_object_at_minus_infinity_is_removed():
    assert np.array_equal(fade(CLAPS, {"cat": "-inf", "dog": 0.0, "rest": 0.0}), NO_CAT)
    assert np.array_equal(fade(CLAPS, {"cat": "-inf", "dog": "-inf", "rest": 0.0}), NOTHING)


def test_intermediate_gains_interpolate():
    half = -20 * np.log10(2)
    mixed = fade(CLAPS, {"cat": half, "dog": 0.0, "rest": 0.0})
    expected = (WHOLE + NO_CAT) / np.linalg.norm(WHOLE + NO_CAT)
    np.testing.assert_allclose(mixed, expected, atol=1e-6)
    assert mixed.dtype == np.float32
    assert np.linalg.norm(mixed) == pytest.approx(1, abs=1e-6)


def test_objects_are_blended_by_their_levels():
    gains = {"cat": "-inf", "dog": 0.0, "owl": -20.0, "rest": 0.0}
    mixed = blend({"dog": WHOLE, "owl": NO_CAT}, gains)
    expected = WHOLE + 0.1 * NO_CAT
    np.testing.assert_allclose(mixed, expected / np.linalg.norm(expected), atol=1e-6)
    assert np.array_equal(blend({"cat": NOTHING, "dog": WHOLE}, gains), WHOLE)


def test_opposite_embeddings_cancel_out():
    with pytest.raises(EmptyRegionError, match="cancel out"):
        blend({"cat": WHOLE, "dog": -WHOLE}, {"cat": 0.0, "dog": 0.0})


def test_sources_are_added_to_a_picture_at_the_level_of_its_loudest_part():
    rain = unit(3)
    half = -20 * np.log10(2)
    gains = {"cat": "-inf", "dog": half, "rest": half, "rain": 0.0}
    mixed = overlay(CLAPS, {"rain": rain}, gains)
    np.testing.assert_allclose(mixed, (rain + NO_CAT / 2) / np.linalg.norm(rain + NO_CAT / 2), atol=1e-6)
    assert np.array_equal(overlay(CLAPS, {"rain": rain}, {**gains, "rain": "-inf"}), NO_CAT)
    assert np.array_equal(overlay({}, {"rain": rain}, {**gains, "dog": "-inf", "rest": "-inf"}), rain)
