"""Reads the tables of data sets; every error names file, line and column."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from svdaudio.errors import InputError

N_SHOWN = 60
"""Characters of a cell shown in an error."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a table."""

    table: Path
    number: int
    """Counted from 1."""
    cells: Mapping[str, str]
    """Column → text without surrounding spaces."""

    @property
    def place(self) -> str:
        """File and line: "esc50.csv, line 3"."""
        return f"{self.table.name}, line {self.number}"

    def error(self, column: str, what: str, *, expected: object = None, fix: str | None = None) -> InputError:
        """An error about a cell."""
        got = self.cells[column]
        return InputError(f"{self.place}, column '{column}': {what}", expected=expected, got=got[:N_SHOWN], fix=fix)

    def text(self, column: str) -> str:
        """The text of a cell.

        Raises:
            InputError: the cell is empty.
        """
        if not self.cells[column]:
            raise InputError(f"{self.place}, column '{column}': the cell is empty")
        return self.cells[column]

    def whole(self, column: str) -> int:
        """A whole number of at least 0.

        Raises:
            InputError: the cell is something else.
        """
        if not (self.cells[column].isascii() and self.cells[column].isdigit()):
            raise self.error(column, "the cell is invalid", expected="a whole number")
        return int(self.cells[column])

    def seconds(self, column: str) -> float:
        """A time of at least 0 s.

        Raises:
            InputError: the cell is something else.
        """
        try:
            value = float(self.cells[column])
        except ValueError:
            value = -1.0
        if not 0.0 <= value < float("inf"):
            raise self.error(column, "the cell is invalid", expected="a time in seconds")
        return value

    def file_name(self, column: str) -> str:
        """A file name without a folder.

        Raises:
            InputError: the cell is empty or a path.
        """
        name = self.text(column)
        if Path(name).name != name or name in (".", "..") or "\\" in name:
            raise self.error(column, "the cell is invalid", expected="a file name without a folder")
        return name


def read_table(path: Path, columns: Sequence[str], *, header: bool = True, comment: str | None = None) -> list[Line]:
    """Read a comma-separated table.

    Args:
        path: of the table.
        columns: names of its columns. With a header, the table may have further columns.
        header: whether the first line has the names of the columns.
        comment: prefix of lines to skip.

    Raises:
        InputError: the table cannot be read, lacks a column, has no rows, or a row has a wrong number of cells.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "text that is not UTF-8"
        raise InputError(f"the table {path} cannot be read", got=reason) from error
    found: list[Line] = []
    names = None if header else list(columns)
    for number, cells in _rows(path, io.StringIO(text, newline=None), comment):
        if names is None:
            names = _header(path, number, cells, columns)
            continue
        if len(cells) != len(names):
            raise InputError(
                f"{path.name}, line {number}: wrong number of cells",
                expected=f"{len(names)} ({', '.join(names)})",
                got=len(cells),
                fix='put double quotes around a cell that contains a comma: "dog, barking"' if not header else None,
            )
        found.append(Line(table=path, number=number, cells=dict(zip(names, cells, strict=True))))
    if not found:
        raise InputError(f"the table {path} has no rows", expected=", ".join(columns))
    return found


def _rows(path: Path, lines: Iterable[str], comment: str | None) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of every line that is neither empty nor a comment; cells cannot span lines."""
    for number, line in enumerate(lines, 1):
        if not line.strip() or (comment is not None and line.startswith(comment)):
            continue
        try:
            cells = next(csv.reader([line.rstrip("\n")], strict=True, skipinitialspace=True))
        except csv.Error as error:
            raise InputError(f"{path.name}, line {number} is not valid CSV", got=error) from error
        yield number, [cell.strip() for cell in cells]


def _header(path: Path, number: int, cells: list[str], columns: Sequence[str]) -> list[str]:
    for place, name in enumerate(columns, 1):
        if cells.count(name) != 1:
            what = "occurs more than once" if name in cells else "is missing"
            raise InputError(
                f"{path.name}, line {number}, column {place}: the column '{name}' {what}",
                expected=",".join(columns),
                got=",".join(cells)[: 2 * N_SHOWN],
            )
    return cells


def classes_by_number(numbered: Iterable[tuple[Line, int, str]], columns: tuple[str, str]) -> tuple[str, ...]:
    """The classes of a table, in the order of their numbers.

    Args:
        numbered: line, class number and class name of each row.
        columns: names of the columns of number and name.

    Raises:
        InputError: a number has two names, or a name has two numbers.
    """
    names: dict[int, str] = {}
    numbers: dict[str, int] = {}
    number_column, name_column = columns
    for line, number, name in numbered:
        if (known := names.setdefault(number, name)) != name:
            raise line.error(name_column, f"{number_column} {number} has two names", expected=known)
        if (before := numbers.setdefault(name, number)) != number:
            raise line.error(number_column, f"'{name}' has two numbers", expected=before)
    return tuple(names[number] for number in sorted(names))
