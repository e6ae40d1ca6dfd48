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
    start_s: float = 0.0
    """Where it begins in its file."""
    duration_s: float | None = None
    """Its length; None for the rest of its file."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something in a data set that cannot be used."""

    where: str
    """The file, item or row."""
    what: str
    """What is wrong with it."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def no_faults(folder: Path) -> tuple[Fault, ...]:
    """Of a layout whose `read` finds everything that can be wrong."""
    del folder
    return ()


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A layout of files on disk that data sets of the field come in."""

    name: str
    """Name of the layout on the command line: "esc50"."""
    recognises: Callable[[Path], bool]
    """Whether a folder has this layout; looks at names only."""
    read: Callable[[Path], tuple[Item, ...]]
    """All items of a folder; raises `InputError` for a table that cannot be read."""
    faults: Callable[[Path], tuple[Fault, ...]] = no_faults
    """Files and rows that belong to no item, such as a picture without a sound; found from names alone."""
