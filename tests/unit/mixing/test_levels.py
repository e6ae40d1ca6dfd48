"""Gains in dB, levels, and the pictures that a fade averages."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from svdaudio.errors import ConfigError
from svdaudio.mixing.levels import Gain, amplitude, gain_text, levels, vertices

GAIN = TypeAdapter(Gain)
GAINS = st.dictionaries(
    st.sampled_from("abcd"), st.one_of(st.just("-inf"), st.floats(-40, 12)), min_size=1, max_size=4
).map(lambda gains: {**gains, "rest": 0.0})


@pytest.mark.parametrize(
    ("text", "gain"),
    [("-6", -6.0), ("+3 dB", 3.0), ("-inf", "-inf"), ("-INF dB", "-inf"), (float("-inf"), "-inf"), (0, 0.0)],
)
def test_gains_are_parsed_in_every_notation(text, gain):
    assert GAIN.validate_python(text) == gain


@pytest.mark.parametrize("text", ["loud", "nan", "inf", "99", "-61", "", None])
def test_invalid_gains_are_refused(text):
    with pytest.raises((ConfigError, ValueError)):
        GAIN.validate_python(text)


def test_a_gain_is_an_amplitude():
    assert amplitude(0) == 1
    assert amplitude(-20) == pytest.approx(0.1)
    assert amplitude(6) == pytest.approx(1.9953, abs=1e-4)
    assert amplitude("-inf") == 0
    assert [gain_text(one) for one in (3, -6.5, "-inf")] == ["+3 dB", "-6.5 dB", "-inf dB"]


def test_levels_are_relative_to_the_loudest():
    assert levels({"cat": "-inf", "dog": 20.0, "rest": 0.0}) == {"cat": 0, "dog": 1, "rest": pytest.approx(0.1)}
    with pytest.raises(ConfigError, match="everything is silenced"):
        levels({"cat": "-inf", "rest": "-inf"})


def test_a_fade_is_the_mean_of_nested_pictures():
    found = vertices({"cat": "-inf", "dog": -6.0205999, "owl": 0.0, "rest": 0.0})
    assert [(one.label, round(one.weight, 6)) for one in found] == [("cat", 0.5), ("cat+dog", 0.5)]
    assert [one.label for one in vertices({"cat": 0.0, "dog": 0.0, "rest": 0.0})] == ["all"]
    assert [one.label for one in vertices({"cat": "-inf", "dog": "-inf", "rest": 0.0})] == ["cat+dog"]


@given(GAINS)
def test_the_weights_are_those_of_a_mean_in_which_each_object_has_its_level(gains):
    found = vertices(gains)
    assert sum(one.weight for one in found) == pytest.approx(1)
    assert all(one.weight > 0 for one in found)
    for name, level in levels(gains).items():
        assert sum(one.weight for one in found if name not in one.absent) == pytest.approx(level, abs=1e-9)
    for wider, narrower in itertools.pairwise(found):
        assert set(wider.absent) < set(narrower.absent)
