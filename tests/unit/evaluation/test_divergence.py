"""KL and inception score against scipy's entropy, torch's divergence and sets with known values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from svdaudio.evaluation.divergence import EPSILON, inception_score, kl_sigmoid, kl_softmax


@pytest.fixture
def logits():
    rng = np.random.default_rng(0)
    return rng.normal(0, 3, (7, 9)), rng.normal(0, 3, (7, 9))


def test_kl_softmax_is_the_relative_entropy(logits):
    made, reference = (each / 3 for each in logits)  # small enough for the epsilon not to matter
    wanted = [entropy(softmax(p), softmax(q)) for p, q in zip(reference, made, strict=True)]
    assert kl_softmax(made, reference) == pytest.approx(wanted, abs=2e-4)
    assert kl_softmax(made, made) == pytest.approx(np.zeros(7), abs=9 * EPSILON)


def test_both_agree_with_torch_on_the_published_formula(logits):
    made, reference = map(torch.tensor, logits)
    for ours, scores in ((kl_softmax, lambda x: x.softmax(dim=1)), (kl_sigmoid, torch.sigmoid)):
        wanted = torch.nn.functional.kl_div((scores(made) + 1e-6).log(), scores(reference), reduction="none").sum(dim=1)
        assert ours(*logits) == pytest.approx(wanted.numpy(), rel=1e-9)


def test_the_epsilon_bounds_the_cost_of_a_missing_class():
    made, reference = np.array([[-1000.0, 0.0]]), np.array([[0.0, -1000.0]])
    assert kl_softmax(made, reference) == pytest.approx(-np.log(EPSILON))


def test_more_than_in_the_reference_makes_the_sigmoid_form_negative():
    quiet, loud = np.array([[-2.0, -2.0]]), np.array([[2.0, 2.0]])
    assert kl_sigmoid(loud, quiet)[0] < 0 < kl_sigmoid(quiet, loud)[0]


def test_the_inception_score_is_the_number_of_clear_classes():
    clear = 100.0 * np.eye(5)
    assert inception_score(clear) == pytest.approx(5.0)
    assert inception_score(clear[:1].repeat(4, axis=0)) == pytest.approx(1.0)
    assert inception_score(np.zeros((6, 3))) == pytest.approx(1.0)
    p = softmax(np.random.default_rng(1).normal(size=(8, 4)), axis=1)
    wanted = np.exp(np.mean([entropy(row, p.mean(axis=0)) for row in p]))
    assert inception_score(np.log(p)) == pytest.approx(wanted)


def test_parts_of_a_set_are_averaged():
    two = 100.0 * np.eye(4)[[0, 1, 2, 2]]
    assert inception_score(two, n_splits=2) == pytest.approx((2 + 1) / 2)
    with pytest.raises(ValueError, match="4 clips are fewer than 5 parts"):
        inception_score(two, n_splits=5)
