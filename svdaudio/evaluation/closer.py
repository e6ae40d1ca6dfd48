"""Checks whether the sound of an edit is closer to that of the edited picture than to that of the original."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import fsum, sqrt
from typing import Any

EQUAL = 1e-6
"""Cosines that differ by less than this count as equal."""
SOUNDS = ("original", "edited", "manipulated")


@dataclass(frozen=True, kw_only=True)
class Closeness:
    """Cosines between the sound of an edit and the two pictures' own sounds, in one space."""

    space: str
    """Name of the space: "CLAP(mini)", "scores of the tagger"."""
    edited: float
    """Cosine of the manipulated sound with the edited picture's, -1 to 1."""
    original: float
    """Cosine of the manipulated sound with the original picture's, -1 to 1."""

    @property
    def closer(self) -> bool | None:
        """Whether it is closer to the edited one; None if the two cosines are equal."""
        return None if abs(self.edited - self.original) < EQUAL else self.edited > self.original

    def results(self) -> dict[str, Any]:
        """As plain data."""
        rounded = {name: round(getattr(self, name), 6) for name in ("edited", "original")}
        return {**asdict(self), **rounded, "closer": self.closer}


def cosine(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Cosine of two vectors; None if one of them is zero."""
    norms = sqrt(fsum(x * x for x in one)) * sqrt(fsum(x * x for x in other))
    return fsum(x * y for x, y in zip(one, other, strict=True)) / norms if norms > 0 else None


def closeness(space: str, vectors: Mapping[str, Sequence[float]]) -> Closeness | None:
    """Cosines of "manipulated" with "edited" and "original"; None if a vector is missing or zero.

    Args:
        space: name of the space.
        vectors: sound → its vector.
    """
    if any(name not in vectors for name in SOUNDS):
        return None
    to_edited, to_original = (cosine(vectors["manipulated"], vectors[name]) for name in ("edited", "original"))
    if to_edited is None or to_original is None:
        return None
    return Closeness(space=space, edited=to_edited, original=to_original)


def closer_by_scores(scores: Mapping[str, Mapping[str, float]]) -> Closeness | None:
    """`closeness` in the space of class scores; None for a run without the three sounds.

    Args:
        scores: sound → class → score, as in `Report.scores` and in `results["scores"]` of a record.
    """
    return closeness("scores of the tagger", {name: list(row.values()) for name, row in scores.items()})
