"""Asking a resident process, from a command or from the program that holds it."""

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
"""How often `stopping` is asked while nothing is told."""

OnEvent = Callable[[Any], None]
"""Receives the events of a request: those of a run, or of a batch."""


class GoneError(Exception):
    """The resident process took nothing, or died; a clause that says which."""


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
    """The answer of a resident process.

    Args:
        resident: that process.
        work: what to compute.
        progress: receives every event.
        stopping: asked all the time; if true, the request ends between two stages.
        waiting: called with the number of requests that are served first, if there are any.

    Raises:
        GoneError: it took nothing, or died.
        Exception: the error of a stage.
        KeyboardInterrupt: once the resident process has ended the run.
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
    told_to_stop = False
    while True:
        try:
            if not told_to_stop and stopping():
                told_to_stop = True
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
