"""A batch shared out among processes of this machine, each with models of its own; the store is all they share.

Two that come to the same key wait for each other there, so nothing is computed twice. A worker ends by itself when
the process that started it is gone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, Any, cast

from flows.batch import BatchEvent, OnError, Output, Progress, RunnerName, execute_batch, no_progress
from svdaudio.batches import Job
from svdaudio.bundle import Bundle, Models
from svdaudio.errors import RunError
from svdaudio.store import open_store
from svdaudio.store.runs import RunRecord

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Event as Flag

LOOK_AGAIN_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one worker does, and how; it has to be picklable."""

    number: int
    jobs: tuple[Job, ...]
    location: str
    runner: RunnerName
    title: str
    output: Output | None
    on_error: OnError


@dataclass(frozen=True, kw_only=True)
class _Done:
    number: int
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
    """As `flows.batch.execute_batch`, by `n_workers` processes.

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
    told: Queue[BatchEvent | _Done | _Failed] = context.Queue()
    stop = context.Event()
    n_workers = min(n_workers, len(jobs))
    workers: list[SpawnProcess] = []
    shares: dict[int, list[RunRecord]] = {}
    error: Exception | None = None
    try:
        for number in range(n_workers):
            share = Share(
                number=number, jobs=tuple(jobs[number::n_workers]), location=location, runner=runner,
                title=f"{title}, {number + 1} of {n_workers}", output=output, on_error=on_error,
            )  # fmt: skip
            workers.append(context.Process(target=_work, args=(share, told, stop), name=f"worker {number + 1}"))
            workers[-1].start()
        while len(shares) < n_workers and (error is None or any(worker.is_alive() for worker in workers)):
            ended = [number for number, worker in enumerate(workers) if worker.exitcode is not None]
            try:
                message = told.get(timeout=LOOK_AGAIN_S)
            except queue.Empty:
                # What a worker had to say before it ended has been read by now.
                missing = [number for number in ended if number not in shares]
                if missing and error is None:
                    error = _death(workers[missing[0]])
                    stop.set()
                continue
            if isinstance(message, BatchEvent):
                progress(message)
            elif isinstance(message, _Done):
                shares[message.number] = message.runs
                if on_error == "stop" and any(run.state == "failed" for run in message.runs):
                    stop.set()
            else:
                error = error or message.error
                stop.set()
        if error is not None:
            raise error
    except BaseException:
        stop.set()
        raise
    finally:
        for worker in workers:
            worker.join()
    runs = {run.id: run for found in shares.values() for run in found}
    return [runs[job.run.id] for job in jobs]


def _death(worker: SpawnProcess) -> RunError:
    code = worker.exitcode or 0
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return RunError(
        f"{worker.name} of the batch died",
        got=how,
        fix="start the batch again, it goes on where it was; with fewer --workers if memory ran out",
    )


def _work(share: Share, told: Queue[Any], stop: Flag) -> None:
    """The whole life of a worker."""
    parent = multiprocessing.parent_process()

    def stopping() -> bool:
        return stop.is_set() or (parent is not None and not parent.is_alive())

    try:
        with contextlib.suppress(KeyboardInterrupt):  # the process that started us is told as well
            runs = _execute(share, told.put, stopping)
            told.put(_Done(number=share.number, runs=runs))
    except Exception as error:  # noqa: BLE001 - it is raised again by whoever started us
        told.put(_Failed(error=_portable(error)))


def _execute(share: Share, progress: Progress, stopping: Callable[[], bool]) -> list[RunRecord]:
    first = share.jobs[0].request
    execution = first.config.execution
    models = Models(
        cast("Bundle", first.bundle),
        device=execution.device,
        keep=execution.keep_models,
        compile_noise=execution.compile,
    )
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
