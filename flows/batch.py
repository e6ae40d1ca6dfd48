"""Runs many requests of one method as one flow, in which every node of every pair is a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.runtime import flow_run
from prefect.states import Failed

from svdaudio.engine.batch import BatchWork, Progress, execute_batch
from svdaudio.engine.batches import BatchPolicy, OnError, table
from svdaudio.engine.run import Stopping
from svdaudio.errors import InputError, SvdAudioError
from svdaudio.flows import pages
from svdaudio.flows.handover import failed, handed_over, run_here
from svdaudio.flows.stages import ThisFlow, one_at_a_time, run_step
from svdaudio.methods import find_method
from svdaudio.session import Session
from svdaudio.store.runs import RunRecord
from svdaudio.studies.pairs import Common, Row, prepare, read_rows


def name_of_batch() -> str:
    """Name of the flow run: the id of the batch if it is known, else Prefect's name."""
    return str(flow_run.get_parameters().get("batch") or flow_run.get_name())


@flow(name="batch", flow_run_name=name_of_batch, task_runner=one_at_a_time(), persist_result=False)
def run_pairs(
    pairs: Path | list[str],
    method: str = "manipulate",
    settings: dict[str, Any] | None = None,
    variant: str | None = None,
    store: str | None = None,
    *,
    pictures: bool = False,
    on_error: OnError = "continue",
    batch: str | None = None,
) -> Any:
    """Run a method on many pairs, loading each model once. An unfinished batch of the same pairs is continued.

    Args:
        pairs: a CSV or JSONL file or a folder (docs/batch.md), read when the flow runs; or the names of the pairs of a
            batch that the process which starts the flow has already opened.
        method: name of the method.
        settings: dotted parameter → value, for pairs that do not set them.
        variant: name of a set of targets of the method ("no_baselines").
        store: location of the store; by default that of SVDAUDIO_STORE or `places.default_store()`.
        pictures: draw masks, spectrograms and scores of every pair.
        on_error: whether the other pairs continue when one fails.
        batch: id of the batch, if it is already open.

    Returns:
        The batch's id, the number of pairs in each state and the path of the table; if a pair failed, the state Failed.
    """
    try:
        work = handed_over(batch)
        if work is not None:
            return _conclusion([run.state for run in work()])
        if not isinstance(pairs, Path):
            raise InputError("the batch of the named pairs is not open in this process", fix="give the file of pairs")
        session = Session(store, runner=ThisFlow())
        found = find_method(method)
        record, _ = compute_rows(
            session, read_rows(pairs, found), method, Common(given=settings or {}, variant=variant),
            files={"pairs": pairs}, title=pairs.name, policy=BatchPolicy(pictures=pictures, on_error=on_error),
        )  # fmt: skip
        if record.state != "finished":
            return Failed(message=record.error or f"the batch was {record.state}")
    except SvdAudioError as error:
        return failed(error)
    results = {name: record.results[name] for name in ("counts", "table")}
    return {"batch": record.id, "state": record.state, **results}


def compute_rows(
    session: Session,
    rows: Sequence[Row],
    method: str,
    common: Common,
    *,
    files: Mapping[str, Path],
    title: str,
    policy: BatchPolicy,
) -> tuple[RunRecord, dict[str, RunRecord]]:
    """Run a batch inside the calling flow, and show its table on the flow's page.

    Args:
        session: a session with the runner `ThisFlow`.
        rows: the pairs to run.
        method: the method of every row.
        common: settings for rows that do not set them.
        files: the files that the rows were read from, by name.
        title: title of the batch, for display.
        policy: the batch's options, kept in its record.

    Returns:
        The record of the batch, and the records of its runs by the names of their rows.
    """
    prepared = prepare(session, rows, find_method(method), common)
    for text in dict.fromkeys(text for one in prepared for text in one.resolved.remarks):
        get_run_logger().warning("%s", text)
    opened = session.open_batch(prepared, files=files, title=title, policy=policy)
    record, runs = session.run_batch(opened)
    pages.show_table(table(opened.members, runs), record.id)
    return record, {job.name: run for job, run in zip(opened.jobs, runs, strict=True)}


def execute_through_prefect(
    work: BatchWork, progress: Progress, stopping: Stopping, *, title: str, api_url: str | None = None
) -> list[RunRecord]:
    """Do what `svdaudio.engine.batch.execute_batch` does, as a flow of this process.

    Args:
        work: the jobs.
        progress: receives every event.
        stopping: called before each node; if true, no further node is started.
        title: id of the batch.
        api_url: of the server.
    """
    compute = partial(execute_batch, work, progress, stopping, step=run_step)

    def show(runs: list[RunRecord]) -> None:
        pages.show_table(table([job.member for job in work.jobs], runs), title)

    parameters = {
        "pairs": [pages.readable(job.name) for job in work.jobs],
        "method": work.jobs[0].request.kind,
        "store": pages.readable(work.store.location),
        "on_error": work.on_error,
        "batch": title,
    }
    return run_here(run_pairs, parameters, key=title, compute=compute, show=show, api_url=api_url)


def _conclusion(states: Sequence[str]) -> Any:
    n_failed = states.count("failed")
    if n_failed:
        return Failed(message=f"{n_failed} of {len(states)} pairs failed")
    return {"counts": {state: states.count(state) for state in dict.fromkeys(states)}}
