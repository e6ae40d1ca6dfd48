"""The layout "pairs": a folder of pictures and sounds with common names, and optionally a table of labels.

    street/dog1.jpg, street/dog1.wav      # an item, "street/dog1"
    rain.flac                             # an item without a picture
    labels.csv                            # stem,label[,group]; several rows or "dog;rain" give several labels

Folders are read recursively, without hidden files, and an item's name is its path in the folder without suffix. In
labels.csv the folders of a name may be omitted if it is unique. Items of a group are never split between training and
validation; an item without a group is its own group.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from svdaudio.errors import InputError
from svdaudio.files import read_text
from svdaudio.pretraining.items import DataSet, Fault, Item, Layout
from svdaudio.pretraining.layouts.found import PICTURE_SUFFIXES, SOUND_SUFFIXES

LABELS = "labels.csv"
HEADER = ("stem", "label")
HEADER_WITH_GROUP = (*HEADER, "group")
LABEL_SEPARATOR = ";"


@dataclass(kw_only=True)
class _Labels:
    """Rows of the table for one name."""

    labels: list[str] = field(default_factory=list[str])
    groups: list[str] = field(default_factory=list[str])


def find_pairs(folder: Path) -> DataSet:
    """Find the items of a folder, and files and rows without an item, from file names and the table of labels.

    Raises:
        InputError: the folder does not exist or cannot be listed, or labels.csv cannot be read.
    """
    files = _files(folder)
    sounds, duplicate_sounds = _by_name(folder, (path for path in files if path.suffix.lower() in SOUND_SUFFIXES))
    pictures, duplicate_pictures = _by_name(folder, (path for path in files if path.suffix.lower() in PICTURE_SUFFIXES))
    unpaired = [
        Fault(
            where=_relative(folder, path),
            what=f"a picture without a sound of the same name ({' '.join(SOUND_SUFFIXES)})",
        )
        for name, path in pictures.items()
        if name not in sounds
    ]
    labels, bad_rows = _labels(folder / LABELS, (*sounds, *pictures))
    items: list[Item] = []
    conflicts: list[Fault] = []
    for name, sound in sounds.items():
        given = labels.get(name, _Labels())
        if len(set(given.groups)) > 1:
            groups = " and ".join(sorted(set(given.groups)))
            conflicts.append(Fault(where=f"{LABELS}, {name}", what=f"more than one group: {groups}"))
        items.append(
            Item(
                name=name,
                sound=sound,
                picture=pictures.get(name),
                labels=tuple(dict.fromkeys(given.labels)),
                group=given.groups[0] if given.groups else name,
            )
        )
    classes = dict.fromkeys(label for item in items for label in item.labels)
    faults = (*duplicate_sounds, *duplicate_pictures, *unpaired, *bad_rows, *conflicts)
    return DataSet(items=tuple(items), classes=tuple(classes), faults=faults)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"folder not found: {folder}", fix="check the path")
    try:
        found = [path for path in folder.rglob("*") if path.is_file()]
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be read", got=error.strerror or str(error)) from error
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _by_name(folder: Path, files: Iterable[Path]) -> tuple[dict[str, Path], list[Fault]]:
    """Files by their names without suffix; further files of the same name are faults."""
    found: dict[str, Path] = {}
    duplicates: list[Fault] = []
    for path in files:
        name = path.relative_to(folder).with_suffix("").as_posix()
        if found.setdefault(name, path) != path:
            duplicates.append(Fault(where=_relative(folder, path), what=f"has the same name as {found[name].name}"))
    return found, duplicates


def _labels(path: Path, names: Iterable[str]) -> tuple[Mapping[str, _Labels], list[Fault]]:
    """Labels and groups by item, and rows that are not valid.

    Raises:
        InputError: the table cannot be read, or has the wrong columns.
    """
    if not path.exists():
        return {}, []
    rows = _rows(path)
    full = dict.fromkeys(names)
    by_stem: dict[str, list[str]] = defaultdict(list)
    for name in full:
        by_stem[name.rpartition("/")[2]].append(name)
    found: dict[str, _Labels] = defaultdict(_Labels)
    faults: list[Fault] = []
    for line, row in rows:
        where, stem = f"{LABELS}, line {line}", row["stem"]
        matches = [stem] if stem in full else by_stem.get(stem, [])
        labels = [label for part in row["label"].split(LABEL_SEPARATOR) if (label := part.strip())]
        if len(matches) != 1:
            what = f"{len(matches)} items are named '{stem}'; add the folder to the name" if matches else None
            faults.append(Fault(where=where, what=what or f"no files named '{stem}'"))
        elif not labels and not row.get("group"):
            faults.append(Fault(where=where, what=f"no label for '{stem}'"))
        else:
            found[matches[0]].labels += labels
            found[matches[0]].groups += [row["group"]] if row.get("group") else []
    return found, faults


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Line number and cells of each row; empty lines are skipped.

    Raises:
        InputError: the table cannot be read, has the wrong columns, or has a row of another length.
    """
    try:
        reader = csv.reader(read_text(path).removeprefix("\ufeff").splitlines(keepends=True), strict=True)
        lines = [(reader.line_num, cells) for cells in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"the table {path} cannot be read", expected="CSV in UTF-8", got=error) from error
    header = tuple(cell.strip().lower() for cell in lines[0][1]) if lines else ()
    if header not in (HEADER, HEADER_WITH_GROUP):
        raise InputError(
            f"the table {path} has the wrong first line",
            expected=f"{','.join(HEADER)} or {','.join(HEADER_WITH_GROUP)}",
            got=",".join(header)[:200] or "an empty table",
            fix="put the column names in the first line",
        )
    rows: list[tuple[int, dict[str, str]]] = []
    for line, cells in lines[1:]:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise InputError(
                f"the table {path} cannot be read",
                expected=f"{len(header)} columns",
                got=f"{len(cells)} in line {line}",
                fix="quote cells that contain commas, and separate labels by semicolons",
            )
        rows.append((line, {name: cell.strip() for name, cell in zip(header, cells, strict=True)}))
    return rows


def _relative(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _recognises(folder: Path) -> bool:
    """Whether a folder contains a sound at any depth."""
    return any(path.suffix.lower() in SOUND_SUFFIXES for path in folder.rglob("*"))


PAIRS = Layout(name="pairs", recognises=_recognises, read=find_pairs)
