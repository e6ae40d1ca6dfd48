"""Printing: results go to standard output; progress, notes and logs go to standard error."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from svdaudio.text import printable, printable_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from svdaudio.store import RunRecord

Scores = Mapping[str, Mapping[str, float]]
"""Sound → class → score."""
Finding = Mapping[str, Any]
N_DIGITS = 12
"""First digits of a key or a digest that are printed."""


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object; numbers that are not finite, which JSON does not have, raise a ValueError."""
    text = printable_json(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # the terminal's encoding lacks some characters
        text = json.dumps(value, indent=2, allow_nan=False)
    sys.stdout.write(text + "\n")


def print_outcome(facts: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print one JSON object, or the text that says the same."""
    if as_json:
        print_json(facts)
    else:
        console().print(text, markup=False)


def console() -> Console:
    """Standard output for text. Lines are not wrapped, so that commands can be copied; tables fit the width."""
    return _console(sys.stdout, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160)


def error_console() -> Console:
    """Standard error for text."""
    return _console(sys.stderr)


def _console(file: TextIO, width: int | None = None) -> Console:
    from rich.console import Console

    class PrintableConsole(Console):
        """Escapes control characters, which a terminal would act on."""

        def print(self, *objects: Any, **options: Any) -> None:
            super().print(*(printable(one) if isinstance(one, str) else one for one in objects), **options)

    return PrintableConsole(file=file, highlight=False, soft_wrap=True, width=width)


def progress_bar(*more: str) -> Progress:
    """A progress bar on standard error; `more` are formats of further columns."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(
        *columns, TimeElapsedColumn(), *(TextColumn(one) for one in more), console=error_console(), transient=True
    )


def print_note(text: str) -> None:
    """Print a note as one line on standard error."""
    sys.stderr.write(f"note: {printable(' '.join(text.split()))}\n")


def table(
    headings: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None, right: Sequence[int] = ()
) -> Table:
    """A plain table; the columns numbered in `right` are right-aligned."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    built = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, show_edge=False)
    for place, heading in enumerate(headings):
        justify = "right" if place in right else "left"
        built.add_column(heading, justify=justify, overflow="fold", no_wrap=place == 0)  # so that names can be copied
    for row in rows:
        built.add_row(*(cell if isinstance(cell, Text) else Text(printable(str(cell))) for cell in row))
    return built


LARGE_CHANGE = 0.1
"""Changes of a score that are at least as large are highlighted."""
MARKS = {True: "✓", False: "!", None: "·"}
"""Printed before a finding of a verdict: as intended, not as intended, unknown."""


def print_run_head(run: RunRecord, seconds: float) -> None:
    """Print the id and bundle of a run, how many stages were computed, and the notes of cached stages."""
    screen = console()
    counts = Counter(entry.status for entry in run.stages)
    screen.print(
        f"\n[bold]Run {run.id}[/bold], bundle [bold]{run.bundle}[/bold]: "
        f"{counts['computed']} stages computed, {counts['cached']} cached, {seconds_text(seconds)}"
    )
    for entry in run.stages:
        for text in entry.notes if entry.status == "cached" else ():  # the others were printed during the run
            screen.print(f"note: {entry.node}: {text}", markup=False)


def print_findings(scores: Scores, result: str | None, verdict: Sequence[Finding], notes: Sequence[str]) -> None:
    """Print the class scores of a run, the findings of its verdict, and its notes."""
    screen = console()
    if scores:
        screen.print(_score_table(scores, result))
    for line in (*verdict_lines(verdict), *(f"note: {text}" for text in notes)):
        screen.print(line, markup=False)


def verdict_lines(verdict: Sequence[Finding]) -> list[str]:
    """The findings of a verdict, one line each."""
    return [f"{MARKS[finding['ok']]} {finding['text']}" for finding in verdict]


def _score_table(scores: Scores, result: str | None) -> Table:
    """A row per class, a column per sound, and the change from the first sound to the result, else to the last one."""
    from rich.text import Text

    sounds = list(scores)
    classes = list(dict.fromkeys(name for row in scores.values() for name in row))
    classes.sort(key=lambda name: -max(row.get(name, 0.0) for row in scores.values()))
    rows: list[list[object]] = []
    for name in classes:
        values = [scores[sound].get(name) for sound in sounds]
        row: list[object] = [name, *("" if value is None else f"{value:.3f}" for value in values)]
        if len(sounds) > 1:
            first, last = values[0], values[sounds.index(result) if result in sounds else -1]
            change = 0.0 if first is None or last is None else last - first
            row.append(Text(f"{change:+.3f}", style="bold" if abs(change) >= LARGE_CHANGE else "dim"))
        rows.append(row)
    headings = ["class", *sounds, *(["change"] if len(sounds) > 1 else [])]
    return table(headings, rows, right=range(1, len(headings)))


def print_files(files: Mapping[str, Path]) -> None:
    """Print the folder that holds most of the files, then each name, or the path of a file elsewhere; never wrapped."""
    if not files:
        return
    folders = [path.parent for path in files.values()]
    folder = max(folders, key=folders.count)
    width = max(len(what) for what in files)
    lines = [
        f"  {what:<{width}}  {path.name if path.parent == folder else short_path(path)}" for what, path in files.items()
    ]
    sys.stdout.write(printable("\n".join([f"Files in {short_path(folder)}:", *lines])) + "\n")


@contextlib.contextmanager
def quiet_stdout() -> Generator[None]:
    """Redirect what libraries print to standard error, so that standard output has only the result."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def short_path(path: Path) -> str:
    """A path relative to the current folder, if it is in there."""
    try:
        return str(path.resolve().relative_to(Path.cwd().resolve()))
    except (ValueError, OSError):  # elsewhere, or the current folder no longer exists
        return str(path)


def seconds_text(seconds: float) -> str:
    """A duration as text: 0.02 s, 1.4 s, 34 s, 2 min 05 s."""
    if seconds >= 60:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2f} s"


def bytes_text(n_bytes: float) -> str:
    """A size as text in decimal units: 512 B, 3.2 kB, 1.5 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" or n_bytes >= 100 else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"
