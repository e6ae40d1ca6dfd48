"""Findings in words."""

from __future__ import annotations

import pytest

from svdaudio.verdicts import class_of, edit_findings, heard, inconclusive, sentence


@pytest.mark.parametrize(
    ("wanted", "before", "after", "text", "ok"),
    [
        ("silenced", 0.99, 0.02, "cat: silenced (0.99 → 0.02)", True),
        ("silenced", 0.60, 0.30, "cat: hardly heard any more (0.60 → 0.30)", True),
        ("silenced", 0.99, 0.98, "cat: still heard (0.99 → 0.98)", False),
        ("silenced", 0.04, 0.01, "cat: was not heard before (0.04 → 0.01)", None),
        ("faded", 0.99, 0.80, "cat: faded, still heard (0.99 → 0.80)", None),
        ("faded", 0.99, 0.10, "cat: faded, no longer heard (0.99 → 0.10)", None),
        ("level", 1.00, 0.98, "cat: kept (1.00 → 0.98)", True),
        ("kept", 1.00, 0.98, "cat kept (1.00 → 0.98)", True),
        ("kept", 1.00, 0.20, "cat lost (1.00 → 0.20)", False),
        ("level", 0.03, 0.99, "cat: now heard (0.03 → 0.99)", None),
        ("level", 0.03, 0.04, "cat: not heard, as before (0.03 → 0.04)", None),
        ("raised", 0.03, 0.99, "cat: raised (0.03 → 0.99)", True),
        ("raised", 0.03, 0.10, "cat: not heard (0.03 → 0.10)", False),
        ("added", 0.00, 1.00, "cat heard (0.00 → 1.00)", True),
        ("added", 0.00, 0.20, "cat not heard (0.00 → 0.20)", False),
        ("added", 0.90, 1.00, "cat was already heard (0.90 → 1.00)", None),
        ("removed", 0.99, 0.01, "cat gone (0.99 → 0.01)", True),
        ("removed", 0.99, 0.90, "cat still heard (0.99 → 0.90)", False),
        ("removed", 0.04, 0.01, "cat was not heard before (0.04 → 0.01)", None),
    ],
)
def test_the_intended_change_determines_the_verdict(wanted, before, after, text, ok):
    finding = heard("cat", before=before, after=after, wanted=wanted)
    assert (finding.text, finding.ok, finding.class_name) == (text, ok, "cat")


def test_an_object_names_its_class():
    finding = heard("object", before=0.99, after=0.02, wanted="silenced", class_name="cat")
    assert finding.text == "object (cat): silenced (0.99 → 0.02)"
    assert sentence([finding, inconclusive("rock", "kept", "no class tells")]).endswith("; rock: no class tells")
    classes = ("cat", "Dog", "sheep")
    assert [class_of(name, classes) for name in ("cat", "dog", "sheep2", "sheep-2", "rock")] == [
        "cat", "Dog", "sheep", "sheep", None,
    ]  # fmt: skip
    assert class_of("thing", classes, ["Rock", "Cat"]) == "cat"


@pytest.mark.parametrize(
    ("wanted", "after", "margin"),
    [("removed", 0.02, 0.48), ("silenced", 0.9, -0.4), ("added", 0.9, 0.4), ("kept", 0.4, -0.1), ("faded", 0.4, None)],
)
def test_a_margin_is_positive_on_the_intended_side(wanted, after, margin):
    assert heard("cat", before=0.9, after=after, wanted=wanted).margin == (
        None if margin is None else pytest.approx(margin)
    )
    assert inconclusive("rock", wanted, "no class tells").margin is None


def test_an_edit_has_one_finding_per_class():
    before, after = {"cat": 0.9, "Dog": 0.8, "duck": 0.1, "owl": 0.7}, {"cat": 0.1, "Dog": 0.9, "duck": 0.9, "owl": 0.2}
    findings = edit_findings(before, after, {"added": ["duck"], "removed": ["cat", "cat2", "rock"]})
    assert [one.text for one in findings] == [
        "duck heard (0.10 → 0.90)",
        "cat gone (0.90 → 0.10)",
        "rock: the tagger has no class for it",
        "Dog kept (0.80 → 0.90)",
        "owl lost (0.70 → 0.20)",
    ]
    named = edit_findings(before, after, {"removed": ["cat"], "kept": ["dog"]})
    assert [(one.object, one.wanted) for one in named] == [("cat", "removed"), ("Dog", "kept")]
