"""Figures of zero-shot classification against plain computations from their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from svdaudio.evaluation.zero_shot import (
    Predictions,
    accuracies,
    average_precisions,
    confusions,
    mean_average_precision,
    recalls,
)
from svdaudio.figures import at_least

CLASSES = ("cat", "dog", "duck")


def answers(rows):
    """Answers of rows: labels, cosines, fold, recording."""
    labels, cosines, folds, groups = zip(*rows, strict=True)
    truth = np.array([[name in each.split() for name in CLASSES] for each in labels])
    return Predictions(
        cosines=np.array(cosines, np.float32), truth=truth, classes=CLASSES, folds=folds, groups=groups
    )  # fmt: skip


SINGLE = [
    ("cat", (0.9, 0.1, 0.0), "1", "a"),
    ("cat", (0.2, 0.1, 0.0), "1", "a"),
    ("dog", (0.5, 0.4, 0.0), "1", "b"),
    ("duck", (0.5, 0.4, 0.6), "2", "c"),
    ("dog", (0.5, 0.1, 0.0), "2", "d"),
    ("dog", (0.1, 0.1, 0.3), "10", "e"),
]


def drawn_by_hand(rows, right, seed=0, n_resamples=1000):
    """Fold → accuracy of each resample of its recordings, one draw after the other."""
    rng = np.random.default_rng(seed)
    found = {}
    for fold in sorted({row[2] for row in rows}, key=int):
        groups = sorted({row[3] for row in rows if row[2] == fold})
        values = []
        for drawn in rng.integers(len(groups), size=(n_resamples, len(groups))):
            hits = [right[i] for g in drawn for i, row in enumerate(rows) if row[2] == fold and row[3] == groups[g]]
            values.append(sum(hits) / len(hits))
        found[fold] = values
    return found


def test_accuracy_of_each_fold_and_their_mean_with_intervals_over_recordings():
    right = [True, True, False, True, False, False]
    figures = {figure.name: figure for figure in accuracies(answers(SINGLE))}
    assert list(figures) == ["fold 1", "fold 2", "fold 10", "mean of the folds"]
    assert [round(figure.value, 6) for figure in figures.values()] == [0.666667, 0.5, 0.0, 0.388889]
    assert [figure.n for figure in figures.values()] == [3, 2, 1, 6]
    by_hand = drawn_by_hand(SINGLE, right)
    for fold, values in by_hand.items():
        expected = np.quantile(values, (0.025, 0.975))
        assert (figures[f"fold {fold}"].low, figures[f"fold {fold}"].high) == pytest.approx(expected)
    of_mean = np.quantile(np.mean(list(by_hand.values()), axis=0), (0.025, 0.975))
    assert (figures["mean of the folds"].low, figures["mean of the folds"].high) == pytest.approx(of_mean)


def test_sounds_of_one_recording_count_together():
    """Twenty similar sounds of two recordings are two samples, not twenty."""
    rows = [("cat", (0.9 if group == "a" else 0.0, 0.1, 0.0), "1", group) for group in "ab" for _ in range(10)]
    (figure,) = accuracies(answers(rows))
    assert (figure.value, figure.low, figure.high) == (0.5, 0.0, 1.0)


def test_a_sound_with_two_labels_needs_both_as_its_nearest():
    rows = [
        ("cat dog", (0.8, 0.7, 0.1), "two", "a"),
        ("cat dog", (0.8, 0.1, 0.7), "two", "b"),
        ("duck", (0.8, 0.1, 0.9), "one", "c"),
    ]
    one, two = accuracies(answers(rows), goals={"one": at_least(0.97), "two": at_least(0.9)})
    assert (one.name, one.value, one.reached) == ("fold one", 1.0, True)
    assert (two.name, two.value, two.reached) == ("fold two", 0.5, False)
    assert {one.name: one.value for one in recalls(answers(rows))} == {"cat": 1.0, "dog": 0.5, "duck": 1.0}
    assert confusions(answers(rows)) == []


def test_recalls_confusions_and_chance():
    found = answers(SINGLE)
    assert [(one.name, one.n, round(one.value, 6)) for one in recalls(found)] == [
        ("cat", 2, 1.0), ("dog", 3, 0.0), ("duck", 1, 1.0),
    ]  # fmt: skip
    assert [(one.label, one.heard, one.n, round(one.share, 6)) for one in confusions(found)] == [
        ("dog", "cat", 2, 0.666667), ("dog", "duck", 1, 0.333333),
    ]  # fmt: skip
    assert found.chance == 1 / 3


def precision_by_hand(scores, labels):
    """Average precision by its definition, a threshold at each distinct score."""
    total, before, value = sum(labels), 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        picked = [label for score, label in zip(scores, labels, strict=True) if score >= threshold]
        recall = sum(picked) / total
        value += (recall - before) * sum(picked) / len(picked)
        before = recall
    return value


@pytest.fixture
def many():
    """Forty sounds with one or more labels of three, and coarse cosines, which tie."""
    rng = np.random.default_rng(5)
    truth = rng.random((40, 3)) < 0.3
    truth[np.arange(40), rng.integers(3, size=40)] = True
    cosines = (np.round(truth + rng.normal(0, 0.8, truth.shape), 1) / 4).astype(np.float32)
    groups = tuple(f"video {index // 2}" for index in range(40))
    return Predictions(cosines=cosines, truth=truth, classes=CLASSES, folds=("eval",) * 40, groups=groups)


def test_average_precision_agrees_with_its_definition_with_ties(many):
    by_hand = [precision_by_hand(many.cosines[:, i].tolist(), many.truth[:, i].tolist()) for i in range(3)]
    assert [one.value for one in average_precisions(many)] == pytest.approx(by_hand)
    assert [one.n for one in average_precisions(many)] == many.truth.sum(axis=0).tolist()
    figure = mean_average_precision(many)
    assert figure.value == pytest.approx(np.mean(by_hand))
    assert many.chance_of_ranks == pytest.approx(many.truth.mean())


def test_the_interval_of_mean_average_precision_resamples_videos(many):
    names = sorted(set(many.groups))
    rng = np.random.default_rng(0)
    values = []
    for drawn in rng.integers(len(names), size=(200, len(names))):
        rows = [i for g in drawn for i, group in enumerate(many.groups) if group == names[g]]
        values.append(
            np.mean([precision_by_hand(many.cosines[rows, i].tolist(), many.truth[rows, i].tolist()) for i in range(3)])
        )
    figure = mean_average_precision(many)
    assert (figure.low, figure.high) == pytest.approx(np.quantile(values, (0.025, 0.975)))


def test_a_class_without_sounds_is_excluded():
    found = answers([("cat", (0.9, 0.1, 0.2), "1", "a"), ("dog", (0.3, 0.8, 0.2), "1", "b")])
    assert [one.name for one in average_precisions(found)] == [one.name for one in recalls(found)] == ["cat", "dog"]
    assert mean_average_precision(found).value == 1.0
