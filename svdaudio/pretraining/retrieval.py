"""Retrieval figures on held-out pairs: how often the right partner is among the nearest, and the chance level.

Ties, such as one sound of two pictures, are broken at random: a figure is the expectation over all orders, so an
encoder that maps everything to one point does no better than chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.figures import ENDS, Figure, resampled_means

RANKS = (1, 5, 10)
_ROWS_AT_ONCE = 1024
_TIE = 1e-6
"""Cosines closer than this count as equal: float32 rounds differently in each row."""

Vectors = Float[NDArray[np.float32], "item dim"]


@dataclass(frozen=True, kw_only=True)
class Recall(Figure):
    """A share of held-out queries with a right answer; its interval is from a bootstrap over groups."""

    chance: float
    """Recall of an encoder that orders the answers at random."""
    n_groups: int


def hits_at(
    similarity: Float[NDArray[np.float32], "query answer"], right: NDArray[np.bool_], k: int
) -> Float[NDArray[np.float64], " query"]:
    """Probability that a right answer is among the k nearest, with ties in random order.

    Args:
        similarity: of each query to each answer.
        right: [query, answer], which answers are right; one for each query unless k = 1.
        k: number of nearest answers that count.
    """
    best = np.where(right, similarity, -np.inf).max(axis=1, keepdims=True)
    n_nearer = (similarity > best + _TIE).sum(axis=1)
    tied = np.abs(similarity - best) <= _TIE
    n_tied, n_right = tied.sum(axis=1), (tied & right).sum(axis=1)
    places = np.clip(k - n_nearer, 0, n_tied)
    return np.where(n_right > 0, np.minimum(1.0, places * n_right / np.maximum(n_tied, 1)), 0.0)


def recall(
    name: str,
    queries: Vectors,
    answers: Float[NDArray[np.float32], "answer dim"],
    right: NDArray[np.bool_],
    groups: Sequence[str],
    *,
    k: int = 1,
    with_interval: bool = False,
) -> Recall:
    """Recall at k.

    Args:
        name: of the figure.
        queries: unit vectors.
        answers: unit vectors of the other side.
        right: [query, answer], as for `hits_at`.
        groups: of the queries; the bootstrap draws whole groups.
        k: number of nearest answers that count.
        with_interval: whether to compute the interval.
    """
    pieces = [
        hits_at(queries[first : first + _ROWS_AT_ONCE] @ answers.T, right[first : first + _ROWS_AT_ONCE], k)
        for first in range(0, len(queries), _ROWS_AT_ONCE)
    ]
    hits = np.concatenate(pieces)
    chance = float(np.minimum(1.0, k * right.mean(axis=1)).mean())
    low, high = group_interval(hits, groups) if with_interval else (None, None)
    return Recall(
        name=name, value=float(hits.mean()), chance=chance, n=len(hits), n_groups=len(set(groups)), low=low, high=high
    )


def group_interval(values: Float[NDArray[np.float64], " item"], groups: Sequence[str]) -> tuple[float, float]:
    """95 % percentile interval of a mean, from resamples of whole groups with replacement."""
    low, high = np.quantile(resampled_means(values, groups, np.random.default_rng(0)), ENDS)
    return float(low), float(high)


def both_ways(
    first: Vectors,
    second: Vectors,
    *,
    names: tuple[str, str],
    groups: Sequence[str],
    labels: Sequence[frozenset[str]],
    with_intervals: bool = False,
) -> list[Recall]:
    """Recall at 1, 5 and 10 of partners in both directions, and at 1 of items with a common label, if any have labels.

    Ranks above the number of pairs are skipped.

    Args:
        first: unit vectors of one side.
        second: unit vectors of the other side, in the same order.
        names: of the sides.
        groups: of the pairs.
        labels: of the pairs; those without labels are not queried for a class.
        with_intervals: whether to compute intervals.
    """
    figures: list[Recall] = []
    own, same_label = np.eye(len(first), dtype=bool), common_labels(labels, labels)
    labelled = [place for place, one in enumerate(labels) if one]
    for one, other, (a, b) in ((first, second, names), (second, first, names[::-1])):
        for k in (k for k in RANKS if k <= len(first)):
            name = f"{a} to {b}: recall@{k}"
            figures.append(recall(name, one, other, own, groups, k=k, with_interval=with_intervals))
        if labelled:
            some = [groups[place] for place in labelled]
            name = f"{a} to {b}: class recall@1"
            figures.append(recall(name, one[labelled], other, same_label[labelled], some, with_interval=with_intervals))
    return figures


def common_labels(some: Sequence[frozenset[str]], others: Sequence[frozenset[str]]) -> NDArray[np.bool_]:
    """[some, others]: whether two sets have a label in common."""
    return has_label(some, (names := sorted(set().union(*some, *others)))) @ has_label(others, names).T


def has_label(sets: Sequence[frozenset[str]], names: Sequence[str]) -> NDArray[np.bool_]:
    """[set, name]: whether a set has a label."""
    return np.array([[name in one for name in names] for one in sets], bool).reshape(len(sets), len(names))
