"""Cosines of the sound of an edit with the sounds of both pictures."""

from __future__ import annotations

import numpy as np
import pytest

from svdaudio.evaluation.closer import closeness, closer_by_scores, cosine


def test_a_cosine():
    one, other = np.random.default_rng(0).normal(size=(2, 50))
    assert cosine(one.tolist(), other.tolist()) == pytest.approx(
        one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    )
    assert cosine([0.0, 0.0], [1.0, 0.0]) is None


def test_the_record_of_a_run_says_which_sound_is_nearer():
    scores = {
        "original": {"cat": 1.0, "dog": 1.0, "duck": 0.0},
        "edited": {"cat": 0.0, "dog": 1.0, "duck": 1.0},
        "manipulated": {"cat": 0.0, "dog": 1.0, "duck": 0.9},
    }
    near = closer_by_scores(scores)
    assert near is not None
    assert near.results() == {
        "space": "scores of the tagger", "edited": pytest.approx(0.998618), "original": pytest.approx(0.525588),
        "closer": True,
    }  # fmt: skip
    assert closer_by_scores(scores | {"edited": scores["original"]}).closer is None
    assert closer_by_scores(scores | {"manipulated": scores["original"]}).closer is False


def test_no_comparison_without_three_audible_sounds():
    scores = {"original": [1.0], "edited": [1.0]}
    assert closeness("x", scores) is None
    assert closeness("x", scores | {"manipulated": [0.0]}) is None
    assert closer_by_scores({}) is None
