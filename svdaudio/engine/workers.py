"""Divides a batch among processes on this machine, each with its own models; they share only the store.

Workers that need the same key wait for each other in the store, so nothing is computed twice. Each worker reports
through its own pipe, which closes if the worker dies; a worker exits when its parent no longer reads.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, cast

from svdaudio.engine.batch import BatchEvent, BatchExecutor, BatchWork, Progress, execute_batch, no_progress
from svdaudio.errors import RunError
from svdaudio.store.runs import RunRecord

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event as Flag


@dataclass(frozen=True, kw_only=True)
class _Done:
    runs: list[RunRecord]


@dataclass(frozen=True, kw_only=True)
class _Failed:
    error: Exception


def execute_shares(
    work: BatchWork, progress: Progress = no_progress, *, n_workers: int, execute: BatchExecutor = execute_batch
) -> list[RunRecord]:
    """Do what `svdaudio.engine.batch.execute_batch` does, with `n_workers` processes.

    Args:
        work: the jobs; must be picklable.
        progress: receives every event, in this thread.
        n_workers: number of processes; at most one for each job is started.
        execute: executes the share of a worker, in its process.

    Raises:
        RunError: a worker died.
        Exception: the error that ended a worker; the other workers are stopped.
    """
    context = multiprocessing.get_context("spawn")  # torch and its threads do not survive a fork
    stop = context.Event()
    n_workers = min(n_workers, len(work.jobs))
    workers: dict[Connection, SpawnProcess] = {}
    shares: dict[Connection, list[RunRecord]] = {}
    error: Exception | None = None
    try:
        for number in range(n_workers):
            share = replace(work, jobs=work.jobs[number::n_workers])
            reader, writer = context.Pipe(duplex=False)
            worker = context.Process(target=_work, args=(execute, share, writer, stop), name=f"worker {number + 1}")
            with writer:  # only the worker keeps it open
                worker.start()
            workers[reader] = worker
        for reader, message in _messages(workers):
            if isinstance(message, BatchEvent):
                progress(message)
            elif isinstance(message, _Done):
                shares[reader] = message.runs
                if work.on_error == "stop" and any(run.state == "failed" for run in message.runs):
                    stop.set()
            elif message is not None or reader not in shares:
                error = error or (_death(workers[reader]) if message is None else message.error)
                stop.set()
        if error is not None:
            raise error
    except BaseException:
        stop.set()
        raise
    finally:
        for reader in workers:  # before joining: a worker that is sending blocks until its message is read
            reader.close()
        for worker in workers.values():
            worker.join()
    runs = {run.id: run for found in shares.values() for run in found}
    return [runs[job.run.id] for job in work.jobs]


def _messages(
    pipes: Iterable[Connection],
) -> Generator[tuple[Connection, BatchEvent | _Done | _Failed | None]]:
    """The messages from pipes until all have ended; the last message of each is None."""
    open_ones = list(pipes)
    while open_ones:
        for pipe in cast("list[Connection]", wait(open_ones)):
            try:
                message = pipe.recv()
            except (EOFError, OSError):  # the worker has ended, perhaps within a message
                message = None
                open_ones.remove(pipe)
            yield pipe, message


def _death(worker: SpawnProcess) -> RunError:
    worker.join()
    code = worker.exitcode or 0
    return RunError(
        f"{worker.name} of the batch died",
        got=f"killed by signal {-code}" if code < 0 else f"exit code {code}",
        fix="repeat the command to continue the batch, with fewer --workers if memory ran out",
    )


def _work(execute: BatchExecutor, share: BatchWork, writer: Connection, stop: Flag) -> None:
    """The main function of a worker."""
    parent = multiprocessing.parent_process()
    alone = False

    def send(message: BatchEvent | _Done | _Failed) -> None:
        nonlocal alone
        try:
            writer.send(message)
        except OSError:  # the parent no longer reads; this is not a failure of the run
            alone = True

    def stopping() -> bool:
        return alone or stop.is_set() or (parent is not None and not parent.is_alive())

    try:
        with contextlib.suppress(KeyboardInterrupt):  # the parent receives the signal, too
            send(_Done(runs=execute(share, send, stopping)))
    except Exception as error:  # noqa: BLE001 - the parent raises it again
        send(_Failed(error=portable(error)))


def portable(error: Exception) -> Exception:
    """The error without its traceback and causes, which cannot be pickled."""
    error.__cause__ = error.__context__ = error.__traceback__ = None
    return error
