"""Tables of sounds to evaluate: a line for each edit, with the files of its sounds and what was to happen.

    original,edited,manipulated,removed,added,kept
    a.wav,b.wav,c.wav,cat,duck,dog;sheep

`manipulated` is the only column that has to be there. Without `original` there is no verdict, without both others no
comparison of the two; `text` is what the sound is to be like, for a CLAP score, and `name` what the line is called.
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
ASKED: tuple[Wanted, ...] = ("added", "removed", "kept")
COLUMNS = ("name", *SOUNDS, *ASKED, "text")


@dataclass(frozen=True, kw_only=True)
class SoundPair:
    """The sounds of one edit."""

    name: str
    sounds: Mapping[str, Path]
    """"original", "edited" and "manipulated" → file; the first two may be missing."""
    asked: Mapping[Wanted, tuple[str, ...]] = field(default_factory=dict[Wanted, tuple[str, ...]])
    """What was to happen → names of classes."""
    text: str | None = None


def read_sound_pairs(path: Path) -> list[SoundPair]:
    """The lines of a table; paths in it are relative to its folder.

    Raises:
        InputError: the table cannot be read, has no line, an unknown column, a name twice, or a file is missing.
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
                raise InputError(f"{where}: there are more cells than columns", fix='separate classes by ";"')
            pair = _pair({name: (cell or "").strip() for name, cell in cells.items()}, path.parent, where)
            if pair.name in pairs:
                raise InputError(f"{where}: the name is taken already", got=pair.name, fix="add a column 'name'")
            pairs[pair.name] = pair
    except csv.Error as error:
        raise InputError(f"{path.name}, line {reader.line_num} is not valid CSV", got=error) from error
    if not pairs:
        raise InputError(f"there are no pairs in {path}", fix="write one per line")
    return list(pairs.values())


def _check_columns(columns: list[str], path: Path) -> None:
    if unknown := [name for name in columns if name not in COLUMNS]:
        raise InputError(f"{path.name}: there is no column '{unknown[0]}'", expected=" or ".join(COLUMNS))
    if len(set(columns)) < len(columns):
        raise InputError(f"{path.name}: a column occurs twice", got=", ".join(columns))
    if "manipulated" not in columns:
        raise InputError(f"{path.name}: there is no column 'manipulated'", got=", ".join(columns) or "an empty file")


def _pair(cells: Mapping[str, str], folder: Path, where: str) -> SoundPair:
    sounds = {name: folder / cells[name] for name in SOUNDS if cells.get(name)}
    if "manipulated" not in sounds:
        raise InputError(f"{where}: the sound 'manipulated' is missing", expected="a path")
    for name, path in sounds.items():
        if not path.is_file():
            raise InputError(f"{where}: there is no sound {path}", fix=f"check the column '{name}'")
    asked: dict[Wanted, tuple[str, ...]] = {
        wanted: tuple(one.strip() for one in cells[wanted].split(";") if one.strip())
        for wanted in ASKED
        if cells.get(wanted)
    }
    name = cells.get("name") or sounds["manipulated"].stem
    return SoundPair(name=name, sounds=sounds, asked=asked, text=cells.get("text") or None)
