"""What a data set consists of, whatever its layout on disk: sounds with pictures, labels, or both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Item:
    """One sound of a data set, and what belongs to it."""

    name: str
    """Unique within the data set: the stem of its files, or the layout's own identifier."""
    sound: Path
    picture: Path | None = None
    labels: tuple[str, ...] = ()
    group: str
    """Items of one group (recording, video, fold) never lie on both sides of a split."""
    fold: str | None = None
    """The part of the data set's own division that it belongs to: "3" of five folds, "test", "eval"."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something in a data set that cannot be used."""

    where: str
    """The file, item or row."""
    what: str
    """What is wrong with it."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """What a folder holds of a data set."""

    items: tuple[Item, ...]
    """In the order of its table."""
    classes: tuple[str, ...] = ()
    """Every label of its tables, whether or not a file of it is there, in the data set's own order."""
    missing: tuple[str, ...] = ()
    """Rows of its tables without a file: "esc50.csv, line 2: audio/1-100032-A-0.wav"."""
    faults: tuple[Fault, ...] = ()
    """Files and rows that belong to no item, such as a picture without a sound; found from names alone."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A layout of files on disk that data sets of the field come in."""

    name: str
    """Name of the layout on the command line: "esc50"."""
    recognises: Callable[[Path], bool]
    """Whether a folder has this layout; looks at names only."""
    read: Callable[[Path], DataSet]
    """What a folder holds; raises `InputError` for a table that cannot be read and a folder without any sound of it."""
