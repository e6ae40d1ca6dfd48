"""Labels as text and as lists, and the texts made from them."""

from __future__ import annotations

import pytest

from svdaudio.config import prompts, resolve
from svdaudio.errors import ConfigError
from svdaudio.methods.hear import HearingConfig


def labels(value):
    return resolve(HearingConfig, given={"hear.labels": value}).config.hear.labels


def test_labels_are_a_list_or_comma_separated_text():
    assert labels("dog, rain on a roof ,owl") == labels(["dog", " rain on a roof", "owl"])
    assert labels("dog") == ("dog",)
    assert labels([]) == ()
    assert resolve(HearingConfig, overrides=['hear.labels=["a, b", "c"]']).config.hear.labels == ("a, b", "c")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (["dog", " "], "a label is empty"),
        ("dog,cat,dog", "the label 'dog' is given twice"),
        (3, "hear.labels has an invalid value"),
        ([1], "hear.labels has an invalid value"),
    ],
)
def test_invalid_labels_are_refused(value, words):
    with pytest.raises(ConfigError, match=words):
        labels(value)


def test_the_label_itself_is_the_text_unless_a_template_is_given():
    assert prompts(("dog", "owl"), "") == ("dog", "owl")
    assert prompts(("dog",), "a {} and another {}") == ("a dog and another dog",)
    with pytest.raises(ConfigError, match=r"no placeholder for the label: expected a text with \{\}, got 'a photo'"):
        resolve(HearingConfig, given={"hear.template": "a photo"})
