"""Figures of zero-shot classification, in which a sound gets the label with the nearest text.

Intervals are from a cluster bootstrap (Davison and Hinkley 1997, section 3.8): sounds cut from one recording are
similar, so whole recordings are drawn, within each fold, with all of their sounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from svdaudio.figures import ENDS, Figure, Goal, draw_groups, number_groups, resampled_means

N_RESAMPLES_OF_RANKS = 200
"""Resamples for mean average precision, each of which ranks every sound for every class."""


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """A label that is mistaken for another."""

    label: str
    heard: str
    n: int
    share: float
    """Share of the sounds with this label."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Labelled sounds, and the cosine of each with the text of each class."""

    cosines: Float[NDArray[np.float32], "sound class"]
    truth: Bool[NDArray[np.bool_], "sound class"]
    """The labels of each sound, at least one."""
    classes: tuple[str, ...]
    folds: tuple[str, ...]
    """Fold of each sound."""
    groups: tuple[str, ...]
    """Recording of each sound."""

    @cached_property
    def predicted(self) -> tuple[str, ...]:
        """The nearest class of each sound."""
        return tuple(self.classes[index] for index in self.cosines.argmax(axis=1))

    @cached_property
    def nearest(self) -> Bool[NDArray[np.bool_], "sound class"]:
        """The k nearest classes of a sound with k labels."""
        counts = self.truth.sum(axis=1, keepdims=True)
        return (-self.cosines).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable") < counts

    @cached_property
    def correct(self) -> Bool[NDArray[np.bool_], " sound"]:
        """Whether the k nearest classes of a sound are exactly its labels."""
        return (self.nearest == self.truth).all(axis=1)

    @cached_property
    def fold_names(self) -> tuple[str, ...]:
        """All folds once, numbers in numerical order."""
        return tuple(sorted(set(self.folds), key=lambda name: (int(name) if name.isdecimal() else -1, name)))

    @property
    def chance(self) -> float:
        """Accuracy of a guess among equally likely classes."""
        return 1 / len(self.classes)

    @property
    def chance_of_ranks(self) -> float:
        """Mean average precision of a random ranking of many sounds: the mean share of sounds with each label."""
        shares = self.truth.mean(axis=0)
        return float(shares[shares > 0].mean())


def accuracies(predictions: Predictions, *, goals: Mapping[str, Goal] | None = None) -> tuple[Figure, ...]:
    """Accuracy in each fold and, for several folds without goals, the mean of the folds.

    Args:
        predictions: of sounds with one or more labels.
        goals: fold → goal.
    """
    rng = np.random.default_rng(0)
    folds = np.array(predictions.folds)
    figures: list[Figure] = []
    resamples: list[NDArray[np.float64]] = []
    for name in predictions.fold_names:
        chosen = folds == name
        correct, groups = predictions.correct[chosen], [g for g, c in zip(predictions.groups, chosen, strict=True) if c]
        resamples.append(resampled_means(correct, groups, rng))
        goal = (goals or {}).get(name)
        figures.append(_figure(f"fold {name}", float(correct.mean()), resamples[-1], correct.size, goal))
    if len(figures) > 1 and not goals:
        mean = float(np.mean([figure.value for figure in figures]))
        figures.append(_figure("mean of the folds", mean, np.stack(resamples).mean(axis=0), len(predictions.folds)))
    return tuple(figures)


def mean_average_precision(predictions: Predictions) -> Figure:
    """Mean of the average precisions of all classes that occur."""
    ranks = _Ranks.of(predictions.cosines, predictions.truth)
    groups = number_groups(predictions.groups)
    drawn = draw_groups(np.random.default_rng(0), int(groups.max()) + 1, n_resamples=N_RESAMPLES_OF_RANKS)
    resamples = np.array([np.nanmean(ranks.precisions(weights[groups])) for weights in drawn])
    value = float(np.nanmean(ranks.precisions(np.ones(groups.size))))
    return _figure("mean average precision", value, resamples, groups.size)


def recalls(predictions: Predictions) -> list[Figure]:
    """Recall of each class that occurs: the share of its sounds with k labels that have it among the k nearest."""
    counts = predictions.truth.sum(axis=0)
    return _by_class(predictions, (predictions.nearest & predictions.truth).sum(axis=0) / counts.clip(min=1))


def average_precisions(predictions: Predictions) -> list[Figure]:
    """Average precision of each class that occurs."""
    ranks = _Ranks.of(predictions.cosines, predictions.truth)
    return _by_class(predictions, ranks.precisions(np.ones(len(predictions.folds))))


def _by_class(predictions: Predictions, values: NDArray[np.float64]) -> list[Figure]:
    """A figure for each class that occurs, without an interval; `n` is the number of its sounds."""
    counts = predictions.truth.sum(axis=0).tolist()
    rows = zip(predictions.classes, counts, values.tolist(), strict=True)
    return [Figure(name=name, n=n, value=value) for name, n, value in rows if n]


def confusions(predictions: Predictions) -> list[Confusion]:
    """Pairs of a label and the class predicted instead, the most frequent first, of sounds with one label."""
    single = predictions.truth.sum(axis=1) == 1
    labels = [predictions.classes[index] for index in predictions.truth[single].argmax(axis=1)]
    nearest = [name for name, is_single in zip(predictions.predicted, single, strict=True) if is_single]
    totals = Counter(labels)
    pairs = Counter(pair for pair in zip(labels, nearest, strict=True) if pair[0] != pair[1])
    found = [Confusion(label=label, heard=heard, n=n, share=n / totals[label]) for (label, heard), n in pairs.items()]
    return sorted(found, key=lambda one: (-one.n, one.label, one.heard))


@dataclass(frozen=True, kw_only=True)
class _Ranks:
    """Sounds ranked by their cosine with each class."""

    order: NDArray[np.intp]
    """[class, sound], nearest first."""
    has: NDArray[np.bool_]
    """[class, sound], in that order."""
    ends: NDArray[np.bool_]
    """[class, sound]: whether the next sound has a lower cosine, so that no tie is split."""

    @classmethod
    def of(cls, cosines: NDArray[np.float32], truth: NDArray[np.bool_]) -> _Ranks:
        order = (-cosines.T).argsort(axis=1, kind="stable")
        sorted_cosines = np.take_along_axis(cosines.T, order, axis=1)
        ends = np.ones(order.shape, np.bool_)
        ends[:, :-1] = sorted_cosines[:, 1:] < sorted_cosines[:, :-1]
        return cls(order=order, has=np.take_along_axis(truth.T, order, axis=1), ends=ends)

    def precisions(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Average precision of each class, Σ (recall − recall before) × precision; NaN for a class without sounds.

        Args:
            weights: how often each sound counts.
        """
        found = np.full(len(self.order), np.nan)
        for index, (order, has, ends) in enumerate(zip(self.order, self.has, self.ends, strict=True)):
            counted = weights[order]
            hits, seen = np.cumsum(counted * has)[ends], np.cumsum(counted)[ends]
            if hits.size and hits[-1] > 0:
                gained = np.diff(hits, prepend=0.0)
                found[index] = float((gained * hits / np.maximum(seen, 1.0)).sum() / hits[-1])
        return found


def _figure(name: str, value: float, resamples: NDArray[np.floating[Any]], n: int, goal: Goal | None = None) -> Figure:
    low, high = (float(end) for end in np.quantile(resamples, ENDS))
    return Figure(name=name, value=value, low=low, high=high, n=n, goal=goal)
