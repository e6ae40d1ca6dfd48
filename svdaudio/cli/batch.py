"""`svdaudio batch`: many pairs at once. And how any batch is carried out, shown and gone on with."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from svdaudio.cli import INTERRUPTED, options
from svdaudio.cli.output import (
    console,
    error_console,
    print_json,
    quiet_stdout,
    remark,
    seconds_text,
    short_path,
    table,
)

if TYPE_CHECKING:
    from svdaudio.engine.batch import BatchEvent, Output, Progress, Tally
    from svdaudio.engine.batches import Asked, Batch, Job
    from svdaudio.store import RunRecord, Store
    from svdaudio.studies.pairs import Common, Prepared

N_LINES = 20
"""Lines of progress over a whole batch, where nobody watches a bar."""
N_ROWS_SHOWN = 200

_HOW = "How it runs"

Runner = Annotated[
    Literal["in-process", "prefect"] | None,
    typer.Option(
        "--runner", rich_help_panel=_HOW, show_default=False,
        help="In this process, or through Prefect (default in process, unless PREFECT_API_URL is set).",
    ),
]  # fmt: skip
Workers = Annotated[
    int,
    typer.Option(
        "--workers", min=1, rich_help_panel=_HOW,
        help="Processes side by side, each with models of its own. Mind the memory.",
    ),
]  # fmt: skip
OnErrorOption = Annotated[
    Literal["continue", "stop"],
    typer.Option("--on-error", rich_help_panel=_HOW, help="What becomes of the others when one pair fails."),
]
TableFile = Annotated[
    Path | None,
    typer.Option(
        "--table", metavar="FILE", rich_help_panel="Where things go", show_default=False,
        help="The table of results, .csv or .jsonl (default beside the sounds, in the store).",
    ),
]  # fmt: skip
Pictures = Annotated[
    bool, typer.Option("--pictures", help="Draw masks, spectrograms and scores of every pair, too: some seconds each.")
]


@dataclass(frozen=True, kw_only=True)
class How:
    """How a batch is carried out."""

    runner: Literal["in-process", "prefect"] | None = None
    n_workers: int = 1
    on_error: Literal["continue", "stop"] = "continue"
    table: Path | None = None
    pictures: bool = False
    as_json: bool = False

    @property
    def runner_name(self) -> Literal["in-process", "prefect"]:
        """The runner that was asked for, in whatever way."""
        return self.runner or ("prefect" if os.environ.get("PREFECT_API_URL") else "in-process")

    def asked(self, *, study: Mapping[str, Any] | None = None) -> Asked:
        """What the record of a batch keeps of it, with what is measured, if anything."""
        from svdaudio.engine.batches import Asked

        table = None if self.table is None else str(self.table.absolute())
        return Asked(table=table, pictures=self.pictures, on_error=self.on_error, n_workers=self.n_workers, study=study)

    def as_asked(self, asked: Asked) -> How:
        """The same, but for what the record of a batch says."""
        table = None if asked.table is None else Path(asked.table)
        return replace(self, table=table, pictures=asked.pictures, on_error=asked.on_error, n_workers=asked.n_workers)


def batch(
    pairs: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS",
            show_default=False,
            help="A .csv or .jsonl file, one pair a line, or a folder with one, or with scenes as *.json.",
        ),
    ],
    *,
    config: options.Config = None,
    overrides: options.Set = None,
    seed: options.Seed = None,
    bundle: options.Bundle = None,
    no_baselines: options.NoBaselines = False,
    pictures: Pictures = False,
    table_file: TableFile = None,
    store: options.Store = None,
    workers: Workers = 1,
    runner: Runner = None,
    on_error: OnErrorOption = "continue",
    as_json: options.Json = False,
) -> None:
    """The method on many pairs, each model loaded once and used for all of them.

    Columns (or keys) are original, edited, remove, add, and, if wanted, name, out, and any parameter by its dotted
    name; paths are seen from the file's folder. Every line is checked before anything runs. Each pair becomes a run
    like any other, with the same bytes. The same command again goes on where an unfinished batch was. Leaves 1 if a
    pair failed.
    """  # fmt: skip
    from svdaudio.cli.work import open_store
    from svdaudio.engine.plan import METHOD_ALONE
    from svdaudio.studies.pairs import Common, read_pairs

    how = How(runner=runner, n_workers=workers, on_error=on_error, table=table_file, pictures=pictures, as_json=as_json)
    check(how)
    given = {name: value for name, value in (("seed", seed), ("bundle", bundle)) if value is not None}
    common = Common(
        config_file=config, overrides=overrides or (), given=given, targets=METHOD_ALONE if no_baselines else None
    )
    prepared = prepared_pairs(read_pairs(pairs), common)
    run_batch(prepared, open_store(store), how, files={"pairs": pairs}, title=pairs.name)


def check(how: How) -> None:
    """Refuse a place for the table that cannot take it, before any work is done."""
    from svdaudio.cli.work import check_out
    from svdaudio.engine.batches import check_table

    if how.table is not None:
        check_table(how.table)
        check_out(how.table)


def prepared_pairs(pairs: Sequence[Any], common: Common) -> list[Prepared]:
    """Check every pair; remarks go to standard error, each once."""
    from svdaudio.cli import work
    from svdaudio.studies.pairs import prepare

    prepared = prepare(pairs, common, work.open_bundle)
    for text in dict.fromkeys(text for one in prepared for text in one.resolved.remarks):
        n_with = sum(text in one.resolved.remarks for one in prepared)
        remark(text if n_with == len(prepared) else f"{text} ({n_with} of {len(prepared)})")
    return prepared


def run_batch(prepared: Sequence[Prepared], store: Store, how: How, *, files: Mapping[str, Path], title: str) -> None:
    """Carry out a batch, or what an earlier one of the same work has left, and print its table.

    Raises:
        typer.Exit: with 1 if a pair failed, with 130 after Ctrl-C.
    """
    from svdaudio.engine.batches import open_batch

    begun = time.perf_counter()
    opened = open_batch(store, prepared, files=files, title=title, runner=how.runner_name, asked=how.asked())
    record, runs = carry_out(opened, store, how)
    finish(opened, record, runs, how, begun)


def resume_batch(record: RunRecord, store: Store, how: How) -> None:
    """Go on with a batch as it was asked for, and with what it was begun for.

    Args:
        record: of the batch; what it says is stronger than `how`.
        store: where runs are.
        how: by which runner, and what is printed.

    Raises:
        typer.Exit: as `run_batch`.
    """
    from svdaudio.cli import evaluate, work
    from svdaudio.engine.batches import asked_of, reopen_batch

    begun = time.perf_counter()
    how = how.as_asked(asked_of(record))
    check(how)
    opened = reopen_batch(record, store, work.open_bundle)
    record, runs = carry_out(opened, store, how)
    if opened.asked.study is not None:
        evaluate.finish(opened, record, runs, as_json=how.as_json)
        return
    finish(opened, record, runs, how, begun)


def carry_out(opened: Batch, store: Store, how: How) -> tuple[RunRecord, list[RunRecord]]:
    """Carry out a batch with progress on standard error, and write its table.

    Raises:
        typer.Exit: with 130, after Ctrl-C.
    """
    from svdaudio.cli import work
    from svdaudio.engine import batch as engine
    from svdaudio.places import out_root

    work.log_to_stderr()
    left = [job for job in opened.jobs if not job.done]
    if opened.record.attempts:
        remark(f"going on with {opened.record.id}: {opened.n_done} of {len(opened.jobs)} pairs are done")
    root = out_root(store.location)
    where = how.table.absolute() if how.table is not None else root / f"{opened.record.id}.csv"
    tally = engine.Tally(left, engine.expected_seconds(store), min(how.n_workers, max(1, len(left))))
    try:
        with quiet_stdout(), _progress(tally) as progress:

            def execute(jobs: Sequence[Job]) -> list[RunRecord]:
                class_names = work.class_names(work.open_bundle(jobs[0].request.config.bundle))
                output = engine.Output(root=root, class_names=class_names, pictures=how.pictures)
                return _execute(jobs, store, how, opened.record.id, output, progress)

            return engine.carry_out(opened, store, execute, table_path=where)
    except KeyboardInterrupt:
        remark(f"interrupted; what is done is kept, and `svdaudio resume {opened.record.id}` goes on")
        raise typer.Exit(INTERRUPTED) from None


def _execute(
    jobs: Sequence[Job], store: Store, how: How, title: str, output: Output, progress: Progress
) -> list[RunRecord]:
    if how.n_workers > 1 and len(jobs) > 1:
        from svdaudio.engine.workers import execute_shares

        return execute_shares(
            jobs, store.location, n_workers=how.n_workers, runner=how.runner_name, title=title, output=output,
            on_error=how.on_error, progress=progress,
        )  # fmt: skip
    from svdaudio.cli import work

    config = jobs[0].request.config
    models = work.open_models(work.open_bundle(config.bundle), config)
    if how.runner_name == "prefect":
        from flows.prefect_batch import execute_batch_through_prefect

        return execute_batch_through_prefect(
            jobs, store, models, title=title, output=output, on_error=how.on_error, progress=progress
        )
    from svdaudio.engine.batch import execute_batch

    return execute_batch(jobs, store, models, output=output, on_error=how.on_error, progress=progress)


def finish(opened: Batch, record: RunRecord, runs: Sequence[RunRecord], how: How, begun: float) -> None:
    """Print the table of a batch, or all of it as one JSON object.

    Raises:
        typer.Exit: with 1 if a pair failed or was not got to.
    """
    from svdaudio.engine.batches import table as rows_of

    rows = rows_of(opened.members, runs)
    seconds = time.perf_counter() - begun
    if how.as_json:
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
        screen.print(_shown(rows, [set(job.member.settings) for job in opened.jobs]))
        for row in rows:
            if row.get("error"):
                screen.print(f"{row['name']}: {row['error']}", markup=False)
        screen.print(f"\nTable with every score and file: {short_path(Path(record.results['table']))}", markup=False)
    if record.state != "finished":
        raise typer.Exit(1)


def _shown(rows: Sequence[Mapping[str, Any]], settings: Sequence[set[str]]) -> Any:
    """The part of the table that fits a screen: name, settings, state, and scores that are not all near 0."""
    names = [name for name in rows[0] if any(name in some for some in settings)] if rows else []
    scores = [
        name for name in (rows[0] if rows else ()) if name.startswith("manipulated.") and not name.endswith(".wav")
    ]
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
    headings = ["name", *names, "state", *(name.removeprefix("manipulated.") for name in scores)]
    title = "scores of the edit's sound" + (f", the first {N_ROWS_SHOWN}" if len(rows) > N_ROWS_SHOWN else "")
    return table(headings, body, title=title, right=range(2 + len(names), len(headings)))


@contextlib.contextmanager
def _progress(tally: Tally) -> Generator[Callable[[BatchEvent], None]]:
    """A moving bar for somebody who watches; for a log, some lines over the whole, and one for each failure."""
    if not sys.stderr.isatty():
        yield _lines(tally)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    screen = error_console()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), TextColumn("{task.fields[left]}"), console=screen, transient=True
    ) as bar:
        task = bar.add_task("looking up", total=tally.n_total, left="")

        def tell(told: BatchEvent) -> None:
            tally.take(told)
            bar.update(task, completed=tally.n_done, left=_left(tally))
            if told.event.kind == "started":
                bar.update(task, description=f"{told.event.node} of {told.pair}")
            elif line := _line(told):
                screen.print(line, markup=False)

        yield tell


def _lines(tally: Tally) -> Callable[[BatchEvent], None]:
    begun = time.perf_counter()
    told_of = 0

    def tell(told: BatchEvent) -> None:
        nonlocal told_of
        tally.take(told)
        if line := _line(told):
            sys.stderr.write(line + "\n")
        part = tally.n_done * N_LINES // max(1, tally.n_total)
        if told.event.kind == "finished" and part > told_of:
            told_of = part
            sys.stderr.write(
                f"[{tally.n_done}/{tally.n_total}] {told.event.node} of {told.pair}; {tally.n_pairs_done} pairs done, "
                f"{seconds_text(time.perf_counter() - begun)} gone{_left(tally)}\n"
            )
        sys.stderr.flush()

    return tell


def _left(tally: Tally) -> str:
    left_s = tally.left_s
    return "" if left_s is None else f", about {seconds_text(left_s)} left"


def _line(told: BatchEvent) -> str | None:
    """What to say of an event beyond the count: notes, waiting and failures."""
    event = told.event
    if event.kind == "failed":
        return f"failed: {told.pair}: {event.node}: {event.text}"
    if event.kind == "note":
        return f"note: {told.pair}: {event.node}: {event.text}"
    if event.kind == "waiting":
        return f"{told.pair}: {event.node}: {event.text}"
    return None
