"""The runner that hands stages to the resident process, and computes them itself where that cannot take them."""

from __future__ import annotations

import contextlib
import logging
import pickle
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

from svdaudio.engine.body import ModelSource
from svdaudio.engine.journal import Event, Progress, no_progress
from svdaudio.engine.request import Request
from svdaudio.engine.run import Stopping
from svdaudio.resident.messages import STOP, Ask, AskReport, Done, Failed, Refused, Waiting
from svdaudio.resident.place import Resident
from svdaudio.session import InProcess
from svdaudio.store.base import Store
from svdaudio.store.runs import RunRecord
from svdaudio.views.report import Report

POLL_S = 0.2
"""How often `stopping` is asked."""

log = logging.getLogger(__name__)


class _GoneError(Exception):
    """The resident process took nothing, or died."""


class ResidentRunner(InProcess):
    """Hands the stages of runs to the resident process; batches are computed here.

    Args:
        resident: that process.
    """

    name = "resident"

    def __init__(self, resident: Resident) -> None:
        self._resident = resident

    def execute(
        self,
        request: Request,
        store: Store,
        models: ModelSource,
        *,
        run: RunRecord,
        progress: Progress,
        stopping: Stopping,
        record: bool,
    ) -> RunRecord:
        """Execute every node of a request; see `svdaudio.engine.run.execute_run`.

        If the resident process dies, this one goes on: what was computed is in the store.
        """
        asked = Ask(request=request, location=store.location, models=models, run=run, record=record)
        try:
            return self._ask(asked, progress, stopping)
        except _GoneError as error:
            log.warning("the resident process %s: the run goes on without it", error)
        return super().execute(request, store, models, run=run, progress=progress, stopping=stopping, record=record)

    def report(
        self, request: Request, store: Store, models: ModelSource, run: RunRecord, *, root: Path, pictures: bool
    ) -> Report:
        """Write the files of a finished run; see `svdaudio.views.outputs.report_of`."""
        asked = AskReport(
            request=request, location=store.location, models=models, run=run, root=str(root), pictures=pictures
        )
        try:
            return self._ask(asked, no_progress, lambda: False)
        except _GoneError:
            return super().report(request, store, models, run, root=root, pictures=pictures)

    def _ask(self, asked: Ask | AskReport, progress: Progress, stopping: Stopping) -> Any:
        """The answer of the resident process.

        Raises:
            _GoneError: it took nothing, or died.
            Exception: the error of a stage.
            KeyboardInterrupt: once the resident process has ended the run.
        """
        try:
            message = pickle.dumps(asked)
        except Exception as error:
            raise _GoneError(f"cannot be sent this request ({type(error).__name__}: {error})") from error
        try:
            connection = Client(self._resident.address, "AF_UNIX")
        except OSError as error:
            raise _GoneError("does not answer") from error
        with connection:
            try:
                connection.send_bytes(message)
                return self._listen(connection, progress, stopping)
            except (EOFError, OSError) as error:
                raise _GoneError("died") from error

    def _listen(self, connection: Connection, progress: Progress, stopping: Stopping) -> Any:
        interrupted: KeyboardInterrupt | None = None
        while True:
            try:
                if not connection.poll(POLL_S):
                    if stopping():
                        connection.send(STOP)
                    continue
                message = connection.recv()
            except KeyboardInterrupt as error:
                if interrupted is not None:
                    raise
                interrupted = error
                with contextlib.suppress(OSError):
                    connection.send(STOP)
                continue
            if isinstance(message, Event):
                progress(message)
            elif isinstance(message, Waiting):
                log.warning("the resident process serves %d others first", message.n_before)
            elif isinstance(message, Refused):
                raise _GoneError(f"cannot take this request ({message.why})")
            elif isinstance(message, Failed):
                raise message.error
            elif isinstance(message, Done):
                if interrupted is not None:
                    raise interrupted
                return message.value
