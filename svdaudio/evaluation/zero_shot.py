"""Figures of zero-shot classification: sounds are given the label whose text is nearest to them.

The intervals are of a cluster bootstrap (Davison and Hinkley 1997, section 3.8): sounds cut from one recording are
alike, so whole recordings are drawn, within each fold, and each counts with all of its sounds.
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
class ClassFigure:
    """How well one class is recognised."""

    name: str
    n: int
    """Sounds that have this label."""
    value: float
    """Recall, or average precision where sounds have several labels."""


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """A label that is taken for another one."""

    label: str
    heard: str
    n: int
    share: float
    """Of the sounds with this label."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Labelled sounds, and how near each is to the text of each class."""

    cosines: Float[NDArray[np.float32], "sound class"]
    truth: Bool[NDArray[np.bool_], "sound class"]
    """The labels of each sound, at least one."""
    classes: tuple[str, ...]
    folds: tuple[str, ...]
    """Of each sound."""
    groups: tuple[str, ...]
    """Recording of each sound."""

    @cached_property
    def heard(self) -> tuple[str, ...]:
        """The nearest class of each sound."""
        return tuple(self.classes[index] for index in self.cosines.argmax(axis=1))

    @cached_property
    def taken(self) -> Bool[NDArray[np.bool_], "sound class"]:
        """The k nearest classes of a sound that has k labels."""
        counts = self.truth.sum(axis=1, keepdims=True)
        return (-self.cosines).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable") < counts

    @cached_property
    def right(self) -> Bool[NDArray[np.bool_], " sound"]:
        """Whether the labels of a sound are its nearest classes, all of them."""
        return (self.taken == self.truth).all(axis=1)

    @cached_property
    def fold_names(self) -> tuple[str, ...]:
        """Every fold once, numbers in their order."""
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


def accuracies(answers: Answers, *, goals: Mapping[str, Goal] | None = None) -> tuple[Figure, ...]:
    """Share of right sounds in each fold and, of several folds without goals, the mean of the folds.

    Args:
        answers: of one label a sound, or of as many as are to be the nearest.
        goals: fold → goal.
    """
    rng = np.random.default_rng(0)
    folds = np.array(answers.folds)
    figures: list[Figure] = []
    resamples: list[NDArray[np.float64]] = []
    for name in answers.fold_names:
        chosen = folds == name
        right, groups = answers.right[chosen], [g for g, c in zip(answers.groups, chosen, strict=True) if c]
        resamples.append(resampled_means(right, groups, rng))
        goal = (goals or {}).get(name)
        figures.append(_figure(f"fold {name}", float(right.mean()), resamples[-1], right.size, goal))
    if len(figures) > 1 and not goals:
        mean = float(np.mean([figure.value for figure in figures]))
        figures.append(_figure("mean of the folds", mean, np.stack(resamples).mean(axis=0), len(answers.folds)))
    return tuple(figures)


def mean_average_precision(answers: Answers) -> Figure:
    """The mean of the average precisions of all classes that some sound has."""
    ranks = _Ranks.of(answers.cosines, answers.truth)
    groups = number_groups(answers.groups)
    drawn = draw_groups(np.random.default_rng(0), int(groups.max()) + 1, n_resamples=N_RESAMPLES_OF_RANKS)
    resamples = np.array([np.nanmean(ranks.precisions(weights[groups])) for weights in drawn])
    value = float(np.nanmean(ranks.precisions(np.ones(groups.size))))
    return _figure("mean average precision", value, resamples, groups.size)


def recalls(answers: Answers) -> list[ClassFigure]:
    """Of each class that some sound has, the share of its sounds in which it is among the k nearest of k labels."""
    return [
        ClassFigure(name=name, n=int(has.sum()), value=float(taken[has].mean()))
        for name, has, taken in zip(answers.classes, answers.truth.T, answers.taken.T, strict=True)
        if has.any()
    ]


def average_precisions(answers: Answers) -> list[ClassFigure]:
    """Of each class that some sound has, its average precision."""
    values = _Ranks.of(answers.cosines, answers.truth).precisions(np.ones(len(answers.folds)))
    return [
        ClassFigure(name=name, n=int(has.sum()), value=float(value))
        for name, has, value in zip(answers.classes, answers.truth.T, values, strict=True)
        if has.any()
    ]


def confusions(answers: Answers) -> list[Confusion]:
    """Pairs of a label and the class that is heard instead, the most frequent first, of sounds with one label."""
    single = answers.truth.sum(axis=1) == 1
    labels = [answers.classes[index] for index in answers.truth[single].argmax(axis=1)]
    nearest = [name for name, counts in zip(answers.heard, single, strict=True) if counts]
    totals = Counter(labels)
    pairs = Counter(pair for pair in zip(labels, nearest, strict=True) if pair[0] != pair[1])
    found = [Confusion(label=label, heard=heard, n=n, share=n / totals[label]) for (label, heard), n in pairs.items()]
    return sorted(found, key=lambda one: (-one.n, one.label, one.heard))


@dataclass(frozen=True, kw_only=True)
class _Ranks:
    """Sounds in the order of their nearness to each class."""

    order: NDArray[np.intp]
    """[class, sound], nearest first."""
    has: NDArray[np.bool_]
    """[class, sound], in that order."""
    ends: NDArray[np.bool_]
    """[class, sound]: whether the next sound is less near, so that no tie is cut in two."""

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
