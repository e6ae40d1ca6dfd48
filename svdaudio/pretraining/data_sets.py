"""Finds the layout of a data set on disk, and splits its items for training and validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from svdaudio.errors import InputError
from svdaudio.pretraining import layouts
from svdaudio.pretraining.items import Item, Layout
from svdaudio.pretraining.pairs import PAIRS

LAYOUTS: Mapping[str, Layout] = {**layouts.LAYOUTS, PAIRS.name: PAIRS}
"""By name."""


def find_layout(folder: Path, name: str | None = None) -> Layout:
    """The layout of the given name, or the layout of a folder.

    Raises:
        InputError: the layout is unknown, or the folder does not exist or has no known layout.
    """
    names = " or ".join(LAYOUTS)
    if name is not None:
        if name not in LAYOUTS:
            raise InputError("unknown layout", expected=names, got=name)
        return LAYOUTS[name]
    if not folder.is_dir():
        raise InputError(f"folder not found: {folder}", fix="check the path")
    found = layouts.recognise(folder)  # first, because any folder of sounds matches the layout of pairs
    if found is None and not PAIRS.recognises(folder):
        raise InputError(
            f"{folder} is not a data set", expected=f"one of the layouts {names}", got="no sounds", fix="check the path"
        )
    return found or PAIRS


@dataclass(frozen=True, kw_only=True)
class Split:
    """Indices of the items to train on and of those held out."""

    training: tuple[int, ...]
    held_out: tuple[int, ...]


def split_by_fold(items: Sequence[Item], fold: str) -> Split:
    """Hold out a fold or split that the data set defines.

    Raises:
        InputError: none or all of the items are in it.
    """
    held_out = tuple(index for index, item in enumerate(items) if item.fold == fold)
    if not 0 < len(held_out) < len(items):
        folds = sorted({item.fold for item in items if item.fold is not None})
        raise InputError(
            f"the fold {fold!r} cannot be held out",
            expected=f"one of {', '.join(folds)}" if folds else "a data set with folds or splits",
            got=f"{len(held_out)} of {len(items)} items in it",
        )
    chosen = set(held_out)
    return Split(training=tuple(index for index in range(len(items)) if index not in chosen), held_out=held_out)


def split_by_group(items: Sequence[Item], *, share: float, seed: int) -> Split:
    """Hold out whole groups, drawn at random, until they make up a share of the items.

    Args:
        items: to split.
        share: of the items, 0 up to 1; 0 holds nothing out.
        seed: of the draw.

    Raises:
        InputError: there are fewer than two groups.
    """
    groups: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        groups.setdefault(item.group, []).append(index)
    if share == 0:
        return Split(training=tuple(range(len(items))), held_out=())
    if len(groups) < 2:
        raise InputError(
            "nothing can be held out",
            expected="items of two or more groups",
            got=f"{len(items)} items of {len(groups)} group",
            fix="add items, give groups in labels.csv, or use --set split.held_out=0",
        )
    held_out: list[int] = []
    order = np.random.default_rng(seed).permutation(sorted(groups))
    for group in order[:-1]:
        if len(held_out) >= share * len(items):
            break
        held_out += groups[str(group)]
    kept = sorted(set(range(len(items))) - set(held_out))
    return Split(training=tuple(kept), held_out=tuple(sorted(held_out)))
