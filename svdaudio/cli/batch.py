"""`svdaudio batch`; also running and printing batches for other commands."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdaudio.cli import options, sessions
from svdaudio.cli.grouped import grouped
from svdaudio.cli.output import console, print_json, print_note, progress_bar, seconds_text, short_path, table
from svdaudio.text import printable

if TYPE_CHECKING:
    from svdaudio.engine.batch import BatchEvent, Tally
    from svdaudio.engine.batches import Batch, Prepared
    from svdaudio.engine.method import Method
    from svdaudio.session import Session
    from svdaudio.store import RunRecord
    from svdaudio.studies.pairs import Common, Row

N_LINES = 20
"""Lines of progress in a whole batch, where no terminal shows a progress bar."""
N_ROWS_SHOWN = 200


@grouped
def batch(
    pairs: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS",
            help="A .csv or .jsonl file with one pair per line, or a folder with such a file or with scenes as *.json.",
        ),
    ],
    *,
    parameters: options.SoundParameters,
    method: options.MethodName = "manipulate",
    no_baselines: options.NoBaselines = False,
    pictures: options.Pictures = False,
    execution: options.BatchOptions,
) -> None:
    """Run a method on many pairs, loading each model only once.

    Columns (or keys) are original, edited, remove, add, and optionally name, out, and any parameter by its dotted
    name; paths are relative to the file's folder. Every line is checked before anything runs. Each pair becomes a
    separate run, whose results are identical to those of `run`. Repeating the command continues an unfinished batch.
    Exit code 1 if a pair failed.
    """
    from svdaudio.methods import find_method
    from svdaudio.studies.pairs import read_rows

    check_table(execution.table)
    session = sessions.open_session(execution.store, execution.open_runner())
    found = find_method(method)
    common = parameters.common(variant="no_baselines" if no_baselines else None)
    prepared = prepare(session, read_rows(pairs, found), found, common)
    run_batch(session, prepared, execution, pictures=pictures, files={"pairs": pairs}, title=pairs.name)


def check_table(path: Path | None) -> None:
    """Refuse a path where a table cannot be written, before any work is done."""
    from svdaudio.engine.batches import check_table as check_format

    if path is not None:
        check_format(path)
        sessions.check_out(path)


def prepare(session: Session, rows: Sequence[Row], method: Method, common: Common) -> list[Prepared]:
    """Check every row, and print each note once on standard error."""
    from svdaudio.studies.pairs import prepare as prepare_rows

    prepared = prepare_rows(session, rows, method, common)
    counts: dict[str, int] = {}
    for one in prepared:
        for text in dict.fromkeys(one.resolved.remarks):
            counts[text] = counts.get(text, 0) + 1
    for text, n_with in counts.items():
        print_note(text if n_with == len(prepared) else f"{text} ({n_with} of {len(prepared)})")
    return prepared


def run_batch(
    session: Session,
    prepared: Sequence[Prepared],
    execution: options.BatchOptions,
    *,
    pictures: bool = False,
    files: Mapping[str, Path],
    title: str,
) -> None:
    """Run a batch, or the rest of an unfinished one with the same pairs, and print its table.

    Raises:
        typer.Exit: with 1 if a pair failed, with 130 after Ctrl-C.
    """
    begun = time.perf_counter()
    opened, record, runs = open_and_execute(
        session, prepared, execution, files=files, title=title, table=execution.table, pictures=pictures,
        on_error=execution.on_error,
    )  # fmt: skip
    finish(opened, record, runs, begun, as_json=execution.as_json)


def open_and_execute(
    session: Session,
    prepared: Sequence[Prepared],
    execution: options.BatchExecution,
    *,
    files: Mapping[str, Path],
    title: str,
    table: Path | None,
    **recorded: Any,
) -> tuple[Batch, RunRecord, list[RunRecord]]:
    """Run a batch, or the rest of an unfinished one with the same pairs, as `execute` does.

    Args:
        session: runs the batch.
        prepared: the checked pairs.
        execution: options of the command.
        files: name → file or folder that the pairs come from, for the record.
        title: of the batch, for display.
        table: file for the table of results; None for one in the store's results folder.
        recorded: the other fields of `svdaudio.engine.batches.BatchPolicy`.
    """
    from svdaudio.engine.batches import BatchPolicy

    place = None if table is None else str(table.absolute())
    policy = BatchPolicy(table=place, n_workers=execution.workers, **recorded)
    opened = session.open_batch(prepared, files=files, title=title, policy=policy)
    return (opened, *execute(session, opened))


def execute(session: Session, opened: Batch) -> tuple[RunRecord, list[RunRecord]]:
    """Run what is left of a batch with progress on standard error, and write its table.

    Raises:
        typer.Exit: with 130, after Ctrl-C.
    """
    from svdaudio.engine.batch import Tally, expected_seconds

    left = [job for job in opened.jobs if not job.done]
    if opened.record.attempts:
        print_note(f"continuing {opened.record.id}: {opened.n_done} of {len(opened.jobs)} pairs are done")
    n_workers = opened.policy.n_workers
    tally = Tally(left, expected_seconds(session.store), min(n_workers, max(1, len(left))))
    sessions.log_to_stderr()
    with sessions.resumable(opened.record.id), _progress(tally) as progress:
        return session.run_batch(opened, progress=progress, n_workers=n_workers)


def finish(opened: Batch, record: RunRecord, runs: Sequence[RunRecord], begun: float, *, as_json: bool) -> None:
    """Print the results of a batch as a table or as one JSON object.

    Raises:
        typer.Exit: with 1 if a pair failed or was not reached.
    """
    from svdaudio.engine.batches import table as rows_of
    from svdaudio.views.domain import UNLIKE

    rows = rows_of(opened.members, runs)
    seconds = time.perf_counter() - begun
    if as_json:
        print_json(
            {
                "batch": record.id,
                "bundle": record.bundle,
                "state": record.state,
                "counts": record.results["counts"],
                "table": record.results["table"],
                "pairs": rows,
                "seconds": round(seconds, 3),
            }
        )
    else:
        screen = console()
        counts = ", ".join(f"{n} {state}" for state, n in record.results["counts"].items())
        screen.print(
            f"\n[bold]Batch {record.id}[/bold], bundle [bold]{record.bundle}[/bold]: {counts}, {seconds_text(seconds)}"
        )
        screen.print(
            _shown(
                rows,
                [set(job.member.settings) for job in opened.jobs],
                opened.jobs[0].request.method.result_of(opened.jobs[0].request.config),
            )
        )
        for row in rows:
            if row.get("error"):
                screen.print(f"{row['name']}: {row['error']}", markup=False)
        n_unlike = sum(UNLIKE in (row.get("notes") or "") for row in rows)
        if n_unlike:
            screen.print(
                f"note: {n_unlike} of {len(rows)} pairs have pictures unlike those that the bundle was trained on; "
                "see the column 'notes' of the table"
            )
        screen.print(f"\nTable with every score and file: {short_path(Path(record.results['table']))}", markup=False)
    if record.state != "finished":
        raise typer.Exit(1)


def _shown(rows: Sequence[Mapping[str, Any]], settings: Sequence[set[str]], result: str) -> Any:
    """The part of the table that fits on a screen: name, settings, state, and scores that are not all near 0."""
    names = [name for name in rows[0] if any(name in some for some in settings)] if rows else []
    scores = [name for name in (rows[0] if rows else ()) if name.startswith(f"{result}.") and name != f"{result}.wav"]
    scores = [name for name in scores if max((row[name] or 0.0) for row in rows) >= 0.05]
    body = [
        [
            row["name"],
            *("" if row[name] is None else str(row[name]) for name in names),
            row["state"],
            *("" if row[name] is None else f"{row[name]:.3f}" for name in scores),
        ]
        for row in rows[:N_ROWS_SHOWN]
    ]
    headings = ["name", *names, "state", *(name.removeprefix(f"{result}.") for name in scores)]
    title = f"scores of the sound '{result}'" + (f", the first {N_ROWS_SHOWN}" if len(rows) > N_ROWS_SHOWN else "")
    return table(headings, body, title=title, right=range(2 + len(names), len(headings)))


@contextlib.contextmanager
def _progress(tally: Tally) -> Generator[Callable[[BatchEvent], None]]:
    """A progress bar on a terminal; elsewhere, a few lines of progress, and one for each failure."""
    if not sys.stderr.isatty():
        yield _lines(tally)
        return
    with progress_bar("{task.fields[left]}") as bar:
        task = bar.add_task("looking up", total=tally.n_total, left="")

        def on_event(batch_event: BatchEvent) -> None:
            tally.count(batch_event)
            bar.update(task, completed=tally.n_done, left=_left(tally))
            if batch_event.event.kind == "started":
                bar.update(task, description=f"{batch_event.event.node} of {batch_event.pair}")
            elif line := _line(batch_event):
                bar.console.print(line, markup=False)

        yield on_event


def _lines(tally: Tally) -> Callable[[BatchEvent], None]:
    begun = time.perf_counter()
    printed = 0

    def on_event(batch_event: BatchEvent) -> None:
        nonlocal printed
        tally.count(batch_event)
        if line := _line(batch_event):
            sys.stderr.write(printable(line) + "\n")
        part = tally.n_done * N_LINES // max(1, tally.n_total)
        if batch_event.event.kind == "finished" and part > printed:
            printed = part
            sys.stderr.write(
                f"[{tally.n_done}/{tally.n_total}] {batch_event.event.node} of {batch_event.pair}; "
                f"{tally.n_pairs_done} pairs done, "
                f"{seconds_text(time.perf_counter() - begun)} elapsed{_left(tally)}\n"
            )
        sys.stderr.flush()

    return on_event


def _left(tally: Tally) -> str:
    left_s = tally.left_s
    return "" if left_s is None else f", about {seconds_text(left_s)} left"


def _line(batch_event: BatchEvent) -> str | None:
    """The line to print for an event besides the count: a note, waiting, or a failure."""
    event = batch_event.event
    if event.kind == "failed":
        return f"failed: {batch_event.pair}: {event.node}: {event.text}"
    if event.kind == "note":
        return f"note: {batch_event.pair}: {event.node}: {event.text}"
    if event.kind == "waiting":
        return f"{batch_event.pair}: {event.node}: {event.text}"
    return None
