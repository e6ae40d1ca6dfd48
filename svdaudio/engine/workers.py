"""A batch shared out among processes of this machine, each with models of its own; the store is all they share.

Two that come to the same key wait for each other there, so nothing is computed twice. Each worker tells of its work
through a pipe of its own: its death ends the pipe, and a worker whom nobody hears any more ends by itself.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, cast

from svdaudio.checkpoints.bundle import Bundle, Models
from svdaudio.engine.batch import BatchEvent, OnError, Output, Progress, RunnerName, execute_batch, no_progress
from svdaudio.engine.batches import Job
from svdaudio.errors import RunError
from svdaudio.store import open_store
from svdaudio.store.runs import RunRecord

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event as Flag


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one worker does, and how; it has to be picklable."""

    jobs: tuple[Job, ...]
    location: str
    runner: RunnerName
    title: str
    output: Output | None
    on_error: OnError


@dataclass(frozen=True, kw_only=True)
class _Done:
    runs: list[RunRecord]


@dataclass(frozen=True, kw_only=True)
class _Failed:
    error: Exception


def execute_shares(
    jobs: Sequence[Job],
    location: str,
    *,
    n_workers: int,
    runner: RunnerName = "in-process",
    title: str = "batch",
    output: Output | None = None,
    on_error: OnError = "continue",
    progress: Progress = no_progress,
) -> list[RunRecord]:
    """As `svdaudio.engine.batch.execute_batch`, by `n_workers` processes.

    Args:
        jobs: see there, as for whatever is not named here.
        location: of the store.
        n_workers: how many processes, at most one for each job.
        runner: how each of them executes its share.
        title: name of the flow runs, if through Prefect.
        output: writes the files of a run.
        on_error: whether the others go on.
        progress: hears of every event, in this thread.

    Raises:
        RunError: a worker died.
        Exception: what ended a worker; the others are stopped then.
    """
    context = multiprocessing.get_context("spawn")  # torch and its threads do not survive a fork
    stop = context.Event()
    n_workers = min(n_workers, len(jobs))
    workers: dict[Connection, SpawnProcess] = {}
    shares: dict[Connection, list[RunRecord]] = {}
    error: Exception | None = None
    try:
        for number in range(n_workers):
            share = Share(
                jobs=tuple(jobs[number::n_workers]), location=location, runner=runner,
                title=f"{title}, {number + 1} of {n_workers}", output=output, on_error=on_error,
            )  # fmt: skip
            told, tells = context.Pipe(duplex=False)
            worker = context.Process(target=_work, args=(share, tells, stop), name=f"worker {number + 1}")
            with tells:  # the worker's alone once it has started
                worker.start()
            workers[told] = worker
        for told, message in _messages(workers):
            if isinstance(message, BatchEvent):
                progress(message)
            elif isinstance(message, _Done):
                shares[told] = message.runs
                if on_error == "stop" and any(run.state == "failed" for run in message.runs):
                    stop.set()
            elif message is not None or told not in shares:
                error = error or (_death(workers[told]) if message is None else message.error)
                stop.set()
        if error is not None:
            raise error
    except BaseException:
        stop.set()
        raise
    finally:
        for told in workers:  # before waiting for them: one that is telling something waits to be heard
            told.close()
        for worker in workers.values():
            worker.join()
    runs = {run.id: run for found in shares.values() for run in found}
    return [runs[job.run.id] for job in jobs]


def _messages(
    pipes: Iterable[Connection],
) -> Generator[tuple[Connection, BatchEvent | _Done | _Failed | None]]:
    """What comes out of pipes, until all have ended; the last word of each is None."""
    open_ones = list(pipes)
    while open_ones:
        for pipe in cast("list[Connection]", wait(open_ones)):
            try:
                message = pipe.recv()
            except (EOFError, OSError):  # the worker has ended, perhaps amidst a word
                message = None
                open_ones.remove(pipe)
            yield pipe, message


def _death(worker: SpawnProcess) -> RunError:
    worker.join()
    code = worker.exitcode or 0
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return RunError(
        f"{worker.name} of the batch died",
        got=how,
        fix="start the batch again, it goes on where it was; with fewer --workers if memory ran out",
    )


def _work(share: Share, tells: Connection, stop: Flag) -> None:
    """The whole life of a worker."""
    parent = multiprocessing.parent_process()
    alone = False

    def tell(message: BatchEvent | _Done | _Failed) -> None:
        nonlocal alone
        try:
            tells.send(message)
        except OSError:  # who started us hears nothing more: no fault of the run that it is about
            alone = True

    def stopping() -> bool:
        return alone or stop.is_set() or (parent is not None and not parent.is_alive())

    try:
        with contextlib.suppress(KeyboardInterrupt):  # the process that started us is told as well
            tell(_Done(runs=_execute(share, tell, stopping)))
    except Exception as error:  # noqa: BLE001 - it is raised again by whoever started us
        tell(_Failed(error=_portable(error)))


def _execute(share: Share, progress: Progress, stopping: Callable[[], bool]) -> list[RunRecord]:
    first = share.jobs[0].request
    models = Models.of(cast("Bundle", first.bundle), first.config)
    store = open_store(share.location)
    if share.runner == "prefect":
        from flows.prefect_batch import execute_batch_through_prefect

        return execute_batch_through_prefect(
            share.jobs, store, models, title=share.title, output=share.output, on_error=share.on_error,
            progress=progress, stopping=stopping,
        )  # fmt: skip
    return execute_batch(
        share.jobs, store, models, output=share.output, on_error=share.on_error, progress=progress, stopping=stopping
    )


def _portable(error: Exception) -> Exception:
    """The error without what ties it to this process."""
    error.__cause__ = error.__context__ = error.__traceback__ = None
    return error
