"""The 527 classes of AudioSet, and the short names of their scores.

`audioset.txt` lists AudioSet's display names in the order of its class indices (research.google.com/audioset, CC BY
4.0). A score is named after the first of a class's names in lower case ("Chicken, rooster" is `chicken`). Ambiguous
names are kept in full, and a few are replaced by a plainer word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

N_CLASSES = 527
PLAINER = {"Cattle, bovinae": "cow"}


@cache
def audioset_names() -> tuple[str, ...]:
    """AudioSet's display names, in the order of the outputs of PANNs and AST."""
    text = (files("svdaudio.models.taggers") / "audioset.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def score_names(display_names: Sequence[str]) -> tuple[str, ...]:
    """Unique short names for classes, in the same order."""
    # A comma in brackets belongs to an explanation: "Roaring cats (lions, tigers)".
    short = [PLAINER.get(name) or re.split(r", (?![^()]*\))", name)[0].lower() for name in display_names]
    count = Counter(short)
    return tuple(name.lower() if count[brief] > 1 else brief for name, brief in zip(display_names, short, strict=True))
