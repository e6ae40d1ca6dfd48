"""Tables of sounds to evaluate: a line for each edit, with its audio files and the intended changes.

    original,edited,manipulated,removed,added,kept
    a.wav,b.wav,c.wav,cat,duck,dog;sheep

Only the column `manipulated` is required. A verdict needs `original`, and a comparison needs both `original` and
`edited`; `text` describes the intended sound, for a CLAP score, and `name` is the name of the line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from svdaudio.errors import InputError
from svdaudio.verdicts import Wanted

SOUNDS = ("original", "edited", "manipulated")
CHANGES: tuple[Wanted, ...] = ("added", "removed", "kept")
COLUMNS = ("name", *SOUNDS, *CHANGES, "text")


@dataclass(frozen=True, kw_only=True)
class SoundPair:
    """The sounds of one edit."""

    name: str
    sounds: Mapping[str, Path]
    """"original", "edited" and "manipulated" → file; the first two may be missing."""
    changes: Mapping[Wanted, tuple[str, ...]] = field(default_factory=dict[Wanted, tuple[str, ...]])
    """Intended change → names of classes."""
    text: str | None = None


def read_sound_pairs(path: Path) -> list[SoundPair]:
    """The lines of a table; paths in it are relative to its folder.

    Raises:
        InputError: the table cannot be read, has no lines, an unknown column or a repeated name, or a file is missing.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "text that is not UTF-8"
        raise InputError(f"the table {path} cannot be read", got=reason) from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    pairs: dict[str, SoundPair] = {}
    try:
        columns = [name.strip() for name in reader.fieldnames or ()]
        _check_columns(columns, path)
        reader.fieldnames = columns
        for cells in reader:
            where = f"{path.name}, line {reader.line_num}"
            if None in cells:
                raise InputError(f"{where}: more cells than columns", fix='separate classes by ";"')
            pair = _pair({name: (cell or "").strip() for name, cell in cells.items()}, path.parent, where)
            if pair.name in pairs:
                raise InputError(f"{where}: the name is already used", got=pair.name, fix="add a column 'name'")
            pairs[pair.name] = pair
    except csv.Error as error:
        raise InputError(f"{path.name}, line {reader.line_num} is not valid CSV", got=error) from error
    if not pairs:
        raise InputError(f"no pairs found in {path}", fix="write one per line")
    return list(pairs.values())


def _check_columns(columns: list[str], path: Path) -> None:
    if unknown := [name for name in columns if name not in COLUMNS]:
        raise InputError(f"{path.name}: unknown column '{unknown[0]}'", expected=" or ".join(COLUMNS))
    if len(set(columns)) < len(columns):
        raise InputError(f"{path.name}: a column occurs twice", got=", ".join(columns))
    if "manipulated" not in columns:
        raise InputError(f"{path.name}: the column 'manipulated' is missing", got=", ".join(columns) or "an empty file")


def _pair(cells: Mapping[str, str], folder: Path, where: str) -> SoundPair:
    sounds = {name: folder / cells[name] for name in SOUNDS if cells.get(name)}
    if "manipulated" not in sounds:
        raise InputError(f"{where}: the sound 'manipulated' is missing", expected="a path")
    for name, path in sounds.items():
        if not path.is_file():
            raise InputError(f"{where}: audio file not found: {path}", fix=f"check the column '{name}'")
    changes: dict[Wanted, tuple[str, ...]] = {
        wanted: tuple(one.strip() for one in cells[wanted].split(";") if one.strip())
        for wanted in CHANGES
        if cells.get(wanted)
    }
    name = cells.get("name") or sounds["manipulated"].stem
    return SoundPair(name=name, sounds=sounds, changes=changes, text=cells.get("text") or None)
