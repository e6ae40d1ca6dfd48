"""Objectives: their syntax, and their value for a run."""

from __future__ import annotations

import pytest

from svdaudio.errors import ConfigError
from svdaudio.studies.objective import Objective, known_names, reference_of, slug, values_of

RESULTS = {
    "scores": {
        "edited": {"cat": 0.5, "Duck, wild": 0.25},
        "original": {"cat": 0.9, "Duck, wild": 0.125},
        "manipulated": {"cat": 0.1, "Duck, wild": 0.75},
    },
    "audio": {"manipulated": "x.wav"},
    "cosines": {"edited": 0.5},
    "reach_degrees": {"removed": 3},
    "notes": ["n"],
    "pair": "a",
}
VALUES = values_of(RESULTS, result="manipulated")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("cat", 0.1),
        ("delta_cat", -0.8),
        ("abs(delta_cat) + original_cat * 2 - edited.cat", 0.8 + 1.8 - 0.5),
        ("min(cat, duck_wild, 3) / max(0.01, duck_wild)", 0.1 / 0.75),
        ("-(cat - 1)", 0.9),
        ("cosine.edited + reach_degree.removed", 3.5),
        ("manipulated.duck_wild - original_duck_wild", 0.625),
    ],
)
def test_value_of_an_expression(text, value):
    assert Objective.parse(text).value(VALUES) == pytest.approx(value)


def test_names_are_unique_and_in_order():
    assert Objective.parse("duck - max(cat, delta_cat) + duck + cosine.edited").names == (
        "duck", "cat", "delta_cat", "cosine.edited"
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "", "1 + 2", "cat +", "cat ** 2", "cat // 2", "cat % 2", "cat if dog else 0", "cat > 0", "not cat",
        "cat and dog",
        "[cat]", "'cat'", "True + cat", "1j * cat", "1e999 * cat", "cat.__class__.__base__", "(cat).x.y", "f(cat)",
        "abs(cat, dog)", "max(cat)", "min(*cats)", "abs(x=cat)", "__import__('os').system('true')", "lambda: cat",
        "(cat := 1)", "cat[0]", "cat; dog", "~cat", "+".join(["cat"] * 1000),
        "9" * 400 + " * cat", "cat @ dog", "abs.x(cat)",
    ],
)  # fmt: skip
def test_expressions_other_than_arithmetic_over_names_are_refused(text):
    with pytest.raises(ConfigError) as caught:
        Objective.parse(text)
    assert "\n" not in caught.value.line()
    assert len(caught.value.line()) < 600


def test_unknown_names_are_refused_before_anything_runs():
    known = known_names(("cat", "dog", "duck"), ("original", "manipulated"), result="manipulated")
    sounds = ("original", "manipulated")
    assert {"cat", "delta_duck", "original_dog", "original.dog"} <= known
    Objective.parse("duck - cat - abs(delta_dog) + original.cat").check(known, sounds)
    Objective.parse("cosine.anything").check(known, sounds)  # only a run knows its measures
    for text, near in (("duk", "duck"), ("delta_dogg", "delta_dog"), ("original.kat", "original.cat"), ("Cat", "cat")):
        with pytest.raises(ConfigError, match=rf"unknown score '{text}' in the objective\. Perhaps you mean .*{near}"):
            Objective.parse(text).check(known, sounds)
    with pytest.raises(ConfigError, match="Write cat or dog or duck"):
        Objective.parse("zzzzzzzz").check(known, sounds)


def test_a_method_with_one_sound_has_no_changes():
    assert known_names(("cat",), ("made",), result="made") == {"cat", "made_cat", "made.cat"}


def test_expressions_without_a_finite_value_are_refused():
    with pytest.raises(ConfigError, match=r"divides by zero\. Keep the divisor above 0"):
        Objective.parse("cat / (cat - cat)").value(VALUES)
    with pytest.raises(ConfigError, match="is not a finite number"):
        Objective.parse("1e300 * 1e300 * cat").value(VALUES)
    with pytest.raises(ConfigError, match=r"unknown score 'cosine\.original'"):
        Objective.parse("cosine.original").value(VALUES)


def test_the_reference_sound_of_changes():
    assert reference_of(["edited", "original", "manipulated"], "manipulated") == "original"
    assert reference_of(["mix", "plain"], "mix") == "plain"
    assert reference_of(["mix"], "mix") is None


def test_classes_with_the_same_name_are_refused():
    assert slug("Domestic animals, pets") == "domestic_animals_pets"
    with pytest.raises(ConfigError, match="two classes of the tagger"):
        values_of({"scores": {"made": {"a b": 0.1, "A-b": 0.2}}}, result="made")
