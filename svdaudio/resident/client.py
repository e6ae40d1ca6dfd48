"""Sends work to a resident process, from a command or from the program that owns the process."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable
from multiprocessing.connection import Client, Connection
from typing import Any

from svdaudio.engine.batch import BatchEvent
from svdaudio.engine.journal import Event
from svdaudio.engine.run import Stopping
from svdaudio.resident.messages import STOP, Done, Failed, Refused, Waiting, Work
from svdaudio.resident.place import Resident

POLL_S = 0.2
"""Interval at which `stopping` is called while no message arrives."""

OnEvent = Callable[[Any], None]
"""Receives the events of a request: those of a run, or of a batch."""


class GoneError(Exception):
    """The resident process did not accept the work, or died; the text is the predicate of a clause that says so."""


def _ignore(n_before: int) -> None:
    del n_before


def ask(
    resident: Resident,
    work: Work,
    progress: OnEvent,
    stopping: Stopping,
    *,
    waiting: Callable[[int], None] = _ignore,
) -> Any:
    """Have a resident process do some work, and return the result.

    Args:
        resident: the process.
        work: what to compute.
        progress: receives every event.
        stopping: called repeatedly; once it is true, the work ends before the next stage.
        waiting: called with the number of requests ahead in the queue, if there are any.

    Raises:
        GoneError: the process did not accept the work, or died.
        Exception: the error of a stage.
        KeyboardInterrupt: raised after the resident process has ended the run.
    """
    try:
        message = pickle.dumps(work)
    except Exception as error:
        raise GoneError(f"cannot be sent this request ({type(error).__name__}: {error})") from error
    try:
        connection = Client(resident.address, "AF_UNIX")
    except OSError as error:
        raise GoneError("does not answer") from error
    with connection:
        try:
            connection.send_bytes(message)
            return _listen(connection, progress, stopping, waiting)
        except (EOFError, OSError) as error:
            raise GoneError("died") from error


def _listen(connection: Connection, progress: OnEvent, stopping: Stopping, waiting: Callable[[int], None]) -> Any:
    interrupted: KeyboardInterrupt | None = None
    stop_sent = False
    while True:
        try:
            if not stop_sent and stopping():
                stop_sent = True
                connection.send(STOP)
            if not connection.poll(POLL_S):
                continue
            message = connection.recv()
        except KeyboardInterrupt as error:
            if interrupted is not None:
                raise
            interrupted = error
            with contextlib.suppress(OSError):
                connection.send(STOP)
            continue
        if isinstance(message, Event | BatchEvent):
            progress(message)
        elif isinstance(message, Waiting):
            waiting(message.n_before)
        elif isinstance(message, Refused):
            raise GoneError(f"cannot take this request ({message.why})")
        elif isinstance(message, Failed):
            raise message.error
        elif isinstance(message, Done):
            if interrupted is not None:
                raise interrupted
            return message.value
