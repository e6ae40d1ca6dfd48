"""The content of a data set in any layout on disk: sounds with pictures, labels, or both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Item:
    """One sound of a data set, with its picture and labels."""

    name: str
    """Unique within the data set: the stem of its files, or an identifier of the layout."""
    sound: Path
    picture: Path | None = None
    labels: tuple[str, ...] = ()
    group: str
    """Items of one group (recording, video, fold) are never on both sides of a split."""
    fold: str | None = None
    """The fold or split that the data set assigns it to: "3" of five folds, "test", "eval"."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A file, item or row of a data set that cannot be used."""

    where: str
    """The file, item or row."""
    what: str
    """The reason."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """The items of a data set that a folder contains."""

    items: tuple[Item, ...]
    """In the order of its table."""
    classes: tuple[str, ...] = ()
    """Every label in its tables, even without files, in the data set's own order."""
    missing: tuple[str, ...] = ()
    """Table rows without a file: "esc50.csv, line 2: audio/1-100032-A-0.wav"."""
    faults: tuple[Fault, ...] = ()
    """Files and rows that belong to no item, such as a picture without a sound; found from names alone."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A layout of data sets on disk."""

    name: str
    """Name on the command line: "esc50"."""
    recognises: Callable[[Path], bool]
    """Whether a folder has this layout, judged by names only."""
    read: Callable[[Path], DataSet]
    """Reads a folder; raises `InputError` if a table cannot be read or the folder has none of its sounds."""
