"""Variants of short texts (Wei and Zou 2019, EDA): synonyms, swapped words, inserted words.

The published training took synonyms from WordNet; here they come from a table, so that nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

Synonyms = Mapping[str, Sequence[str]]


def variant(text: str, rng: np.random.Generator, synonyms: Synonyms, *, replace: int, swap: int, insert: int) -> str:
    """A text with some of its words replaced, then synonyms inserted, then words swapped.

    Args:
        text: words between spaces.
        rng: draws words, synonyms and positions.
        synonyms: word → its synonyms; looked up in lower case.
        replace: number of words to replace, if they have synonyms.
        swap: number of pairs of words to swap.
        insert: number of synonyms to insert at random positions.
    """
    words = text.split()
    table = {word.lower(): list(others) for word, others in synonyms.items() if others}
    known = [place for place, word in enumerate(words) if word.lower() in table]
    for place in rng.permutation(known)[:replace]:
        others = table[words[place].lower()]
        words[place] = others[int(rng.integers(len(others)))]
    sources = [table[word.lower()] for word in text.split() if word.lower() in table]
    for _ in range(insert if sources else 0):
        others = sources[int(rng.integers(len(sources)))]
        words.insert(int(rng.integers(len(words) + 1)), others[int(rng.integers(len(others)))])
    for _ in range(swap if len(words) > 1 else 0):
        one, other = rng.choice(len(words), size=2, replace=False)
        words[one], words[other] = words[other], words[one]
    return " ".join(words)
