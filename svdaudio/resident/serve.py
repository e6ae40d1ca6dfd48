"""A resident process: `python -m svdaudio.resident.serve FOLDER IDLE_S [warm] [owned]`.

A thread for each command reads its request; the main thread computes the requests one after another, in the order of
arrival. The process of `svdaudio resident start` ends after IDLE_S seconds without requests; an owned process ends when
its owner closes its standard input or dies.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import queue
import shutil
import signal
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass, field
from importlib import import_module
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

from svdaudio.checkpoints.models import Models
from svdaudio.engine.batch import BatchWork, execute_batch
from svdaudio.engine.run import Stopping, execute_run
from svdaudio.engine.workers import portable
from svdaudio.files import write_bytes
from svdaudio.processes import start_time
from svdaudio.resident.client import OnEvent
from svdaudio.resident.messages import STOP, Done, Failed, Refused, ReportWork, Waiting, Work
from svdaudio.resident.place import STATE, Resident, identity
from svdaudio.views.outputs import report_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Request:
    """The request of a command that waits for the answer."""

    pickled: bytes
    """A `Work`."""
    connection: Connection
    stop: threading.Event = field(default_factory=threading.Event)
    """Set if the command was interrupted or has ended."""

    def send(self, message: object) -> None:
        """Send a message; if the command has ended, its work ends before the next stage."""
        try:
            self.connection.send(message)
        except OSError:
            self.stop.set()


class Server:
    """Serves commands until it has been idle for some time.

    Args:
        folder: folder for its state and log.
        idle_s: time without requests after which it ends; None for never.
        warm: import everything before the first request.
    """

    def __init__(self, folder: Path, idle_s: float | None, *, warm: bool) -> None:
        self._folder = folder
        self._warm = warm
        self._idle_s = idle_s
        self._queue: queue.Queue[_Request] = queue.Queue()
        self._is_busy = False

    def serve(self) -> None:
        """Serve until idle."""
        private = Path(tempfile.mkdtemp(prefix="svdaudio-"))  # short, because addresses of sockets must be
        try:
            with Listener(str(private / "socket"), "AF_UNIX") as listener:
                threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
                here = Resident(
                    pid=os.getpid(),
                    began=start_time(os.getpid()) or "",
                    address=str(private / "socket"),
                    identity=identity(),
                    log=str(self._folder / "resident.log"),
                )
                write_bytes(self._folder / STATE, json.dumps(asdict(here), indent=1).encode())
                if self._warm:
                    warm_up()
                while True:
                    try:
                        request = self._queue.get(timeout=self._idle_s)
                    except queue.Empty:
                        return
                    self._is_busy = True
                    _answer(request)
                    self._is_busy = False
        finally:
            with contextlib.suppress(OSError):
                (self._folder / STATE).unlink()
            shutil.rmtree(private, ignore_errors=True)

    def _accept(self, listener: Listener) -> None:
        while True:
            try:
                connection = listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve_connection, args=(connection,), daemon=True).start()

    def _serve_connection(self, connection: Connection) -> None:
        """Read the request of a command, then wait for its interrupt or its end."""
        with contextlib.suppress(EOFError, OSError):
            request = _Request(pickled=connection.recv_bytes(), connection=connection)
            if n_before := self._queue.qsize() + self._is_busy:
                request.send(Waiting(n_before=n_before))
            self._queue.put(request)
            try:
                while connection.recv() != STOP:
                    pass
            finally:
                request.stop.set()


def warm_up() -> None:
    """Import the bodies of all stages and the plotting code, so that the first request need not."""
    from svdaudio.methods.stages import STAGES

    for stage in STAGES.values():
        stage.load_body()
    # Imported late by loaders and views.
    for module in ("svdaudio.models.audioldm.diffuser", "matplotlib.backends.backend_agg", "matplotlib.figure"):
        import_module(module)


def _answer(request: _Request) -> None:
    try:
        work: Work = pickle.loads(request.pickled)  # noqa: S301 - from a socket that only this user can reach
    except Exception as error:  # noqa: BLE001 - such as a method or model that this process cannot import
        request.send(Refused(why=f"{type(error).__name__}: {error}"))
        request.connection.close()
        return
    if isinstance(work.models, Models):
        work.models.keep_all()
    try:
        request.send(Done(value=_compute(work, request.send, request.stop.is_set)))
    except Exception as error:  # noqa: BLE001 - the command raises it again
        error = portable(error)
        try:
            pickle.dumps(error)
        except Exception:  # noqa: BLE001
            error = RuntimeError(f"{type(error).__name__}: {error}")
        request.send(Failed(error=error))
    finally:
        request.connection.close()


def _compute(work: Work, progress: OnEvent, stopping: Stopping) -> Any:
    if isinstance(work, ReportWork):
        return report_of(work.run, root=work.root, pictures=work.pictures)
    if isinstance(work, BatchWork):
        return execute_batch(work, progress, stopping)
    return execute_run(work, progress, stopping)


def _exit(number: int, frame: object) -> None:
    del number, frame
    raise SystemExit(0)


def _end_with_owner() -> None:
    """End this process when the other end of its standard input is closed."""
    while os.read(0, 1):  # not `sys.stdin`, whose lock a waiting thread would hold when the interpreter ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Serve until idle or terminated."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    signal.signal(signal.SIGTERM, _exit)
    folder, idle_s, *flags = sys.argv[1:]
    if "owned" in flags:
        threading.Thread(target=_end_with_owner, daemon=True).start()
    Server(Path(folder), None if "owned" in flags else float(idle_s), warm="warm" in flags).serve()


if __name__ == "__main__":
    main()
