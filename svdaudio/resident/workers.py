"""Resident processes owned by a program: each computes one request at a time and keeps its models loaded.

They end when the program that started them ends, in whatever way. Equal requests to several of them share one
computation through the store's locks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from svdaudio.engine.batch import BatchExecutor
from svdaudio.engine.journal import Progress, no_progress
from svdaudio.engine.run import RunWork, Stopping, never_stop
from svdaudio.errors import RunError
from svdaudio.processes import end_group, start_time
from svdaudio.resident.client import GoneError, OnEvent, ask
from svdaudio.resident.control import launch
from svdaudio.resident.messages import ReportWork, Work
from svdaudio.resident.place import Resident
from svdaudio.session import Runner
from svdaudio.store.runs import RunRecord
from svdaudio.views.report import Report

END_TIMEOUT_S = 15.0
THREADS = "OMP_NUM_THREADS"
FOREVER = "0"
"""The idle time passed to an owned process, which ignores it."""


def threads_of_each(n_workers: int) -> int:
    """CPU threads of each worker: the threads that this process may use, divided by their number; at least 1."""
    given = os.environ.get(THREADS, "")
    n_threads = int(given) if given.isdigit() else _n_cores()
    return max(1, n_threads // n_workers)


def _n_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


class Worker:
    """A resident process that ends with this one, and is restarted if it died.

    Args:
        number: counted from 1, for messages.
        n_threads: number of its CPU threads.
        warm: import everything as soon as it is started.
    """

    def __init__(self, number: int, *, n_threads: int, warm: bool = True) -> None:
        self.name = f"worker {number}"
        self._n_threads = n_threads
        self._arguments = [FOREVER, "owned", *(["warm"] if warm else [])]
        self._folder = Path(tempfile.mkdtemp(prefix="svdaudio-worker-"))
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._resident: Resident | None = None
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """Id of its process; None if it is not running."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def start(self) -> Resident:
        """Start its process, unless it is running.

        Raises:
            RunError: the process does not start, or the worker was closed.
        """
        with self._lock:
            if self._is_closed:
                raise RunError(f"{self.name} was closed")
            if self._resident is None or self.pid is None:
                self._process, self._resident = launch(
                    self._folder, *self._arguments, environment={THREADS: str(self._n_threads)}, stdin=subprocess.PIPE
                )
            return self._resident

    def ask(self, work: Work, progress: OnEvent, stopping: Stopping) -> Any:
        """Have it do some work and return the result; see `svdaudio.resident.client.ask`.

        Raises:
            RunError: the worker died, or cannot read the request. Finished stages are in the store.
            Exception: the error of a stage.
        """
        resident = self.start()
        try:
            return ask(resident, work, progress, stopping)
        except GoneError as error:
            raise self._fault(error) from error

    def close(self) -> None:
        """End its process at once; it cannot be started again."""
        with self._lock:
            self._is_closed = True
            if self._process is not None:
                since = start_time(self._process.pid) or ""
                self._forget()
                try:
                    self._process.wait(END_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    end_group(self._process.pid, since)
                    self._process.wait()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _fault(self, error: GoneError) -> RunError:
        process = self._process
        with suppress(subprocess.TimeoutExpired):  # the connection closes shortly before the process ends
            if process is not None and str(error) == "died":
                process.wait(END_TIMEOUT_S)
        code = None if process is None else process.poll()
        if code is None:
            return RunError(f"{self.name} {error}", fix="start again; finished stages are kept")
        with self._lock:
            self._forget()
        return RunError(
            f"{self.name} died",
            got=f"killed by signal {-code}" if code < 0 else f"exit code {code}",
            fix="start again; finished stages are kept. If memory ran out, use fewer --workers",
        )

    def _forget(self) -> None:
        """Close the process's standard input, which ends it, and remove the socket that a killed process leaves."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        if self._resident is not None and self.pid is None:
            shutil.rmtree(Path(self._resident.address).parent, ignore_errors=True)


class WorkerRunner(Runner):
    """Sends runs, the writing of their files, and batches to a worker.

    Args:
        worker: the worker.
    """

    name = "resident"

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def execute(self, work: RunWork, progress: Progress, stopping: Stopping) -> RunRecord:
        """Execute every node of a run; see `svdaudio.engine.run.execute_run`.

        Raises:
            RunError: the worker died; the run can be resumed.
        """
        return self._worker.ask(work, progress, stopping)

    def report(self, work: RunWork, *, root: Path, pictures: bool) -> Report:
        """Write the files of a finished run; see `svdaudio.views.outputs.report_of`.

        Raises:
            RunError: the worker died.
        """
        return self._worker.ask(ReportWork(run=work, root=root, pictures=pictures), no_progress, never_stop)

    def batch_executor(self, title: str) -> BatchExecutor:
        """The function that executes jobs of a batch."""
        del title
        return self._worker.ask
