"""Logs of a training's losses: JSON lines, CSV, or TensorBoard."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from svdaudio.files import write_bytes


class Log(Protocol):
    """Receives the mean losses of every few steps."""

    def begin(self, step: int) -> None:
        """Prepare for rows after `step`, discarding rows of later steps that an interrupted training wrote."""
        ...

    def write(self, row: Mapping[str, float]) -> None:
        """Add a row, which must have a `step`."""
        ...

    def close(self) -> None:
        """Finish writing."""
        ...


class JsonLines:
    """One JSON object per line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, step: int) -> None:
        """Remove rows of later steps, and an incomplete row."""
        if not self._path.is_file():
            return
        lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if _step_of(line) <= step]
        if kept != lines:
            write_bytes(self._path, "".join(kept).encode())

    def write(self, row: Mapping[str, float]) -> None:
        """Append a line."""
        with self._path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(dict(row)) + "\n")

    def close(self) -> None:
        """Nothing is left to write."""


class CsvTable:
    """A CSV file with a header; missing values are empty cells."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self._path = path
        self._columns = columns

    def begin(self, step: int) -> None:
        """Write the header and the rows up to `step`."""
        rows: list[dict[str, Any]] = []
        if self._path.is_file():
            with self._path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if _whole(row.get("step")) <= step]
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_bytes(self._path, text.getvalue().encode())

    def write(self, row: Mapping[str, float]) -> None:
        """Append a row."""
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns, restval="", extrasaction="ignore", lineterminator="\n").writerow(row)

    def close(self) -> None:
        """Nothing is left to write."""


class TensorBoard:
    """Scalars in a folder for `tensorboard --logdir`; needs the extra `tensorboard`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def begin(self, step: int) -> None:
        """Open an event file; TensorBoard hides events after `step` in earlier files."""
        from torch.utils.tensorboard import SummaryWriter  # pyright: ignore[reportPrivateImportUsage]

        self._writer = SummaryWriter(str(self._folder), purge_step=step + 1)

    def write(self, row: Mapping[str, float]) -> None:
        """Add each number of a row as a scalar."""
        for name, value in row.items():
            if name != "step":
                self._writer.add_scalar(name, value, int(row["step"]))

    def close(self) -> None:
        """Flush and close the event file."""
        if self._writer is not None:
            self._writer.close()


def _step_of(line: str) -> float:
    """The step of a JSON line; infinite if it cannot be read."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        return float("inf")


def _whole(text: str | None) -> float:
    """A whole number; infinite if the text is not one."""
    return int(text) if text is not None and text.isdecimal() else float("inf")
