"""Flows that run in the process that starts them, with the store and models which that process has already opened.

The parameters of a flow are plain data, from which a worker opens store, bundle and request itself. A process that has
already opened them hands the work over under the id of the run, where the flow looks first.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Generator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar, cast

import httpx
from prefect.events.worker import EventsWorker
from prefect.exceptions import Abort, PrefectHTTPStatusError
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Failed

from svdaudio.errors import SvdAudioError
from svdaudio.flows.server import answers, no_answer, require_server

log = logging.getLogger(__name__)

Value = TypeVar("Value")

N_RETRIES = 2
"""Retries of a call to a server that no longer answers: 6 s. Prefect's default takes a minute for each call."""
N_CHECKS = 3
"""Checks of the server, a second apart, before it counts as lost."""
FORGET_TIMEOUT_S = 5.0

_handed_over: dict[str, _Work[Any]] = {}


class _Work(Generic[Value]):
    """The work of a flow, and its result or error."""

    def __init__(self, url: str, compute: Callable[[], Value], show: Callable[[Value], None]) -> None:
        self._url, self._compute, self._show = url, compute, show
        self.done: list[Value] = []
        self.error: Exception | None = None

    def __call__(self) -> Value:
        try:
            self.done.append(self._compute())
            self._require_server()
            self._show(self.done[0])
        except Exception as error:
            self.error = error
            self._require_server()
            raise
        return self.done[0]

    def _require_server(self) -> None:
        """If the server is lost, end the flow here, without the reports that Prefect would try to send."""
        if not still_answers(self._url):
            raise Abort


def handed_over(key: str | None) -> Callable[[], Any] | None:
    """The work that this process has handed over under a key, or None."""
    return _handed_over.get(key or "")


def run_here(
    flow: Any,
    parameters: Mapping[str, Any],
    *,
    key: str,
    compute: Callable[[], Value],
    show: Callable[[Value], None],
    api_url: str | None = None,
) -> Value:
    """Run a flow in this process on work that is already open, and return the result of the work.

    If the server stops answering meanwhile, the work is completed and a warning is logged.

    Args:
        flow: the flow, which calls `handed_over(key)`.
        parameters: parameters of the flow.
        key: id of the run or batch.
        compute: the work.
        show: shows the result on the page of the flow run.
        api_url: address of the server's API; by default that of PREFECT_API_URL or of `svdaudio server start`.

    Raises:
        RunError: no server is running, or it does not answer.
        Exception: an error of `compute`.
    """
    url = api_url or require_server()
    work = _handed_over[key] = _Work(url, compute, show)
    lost: BaseException | None = None
    try:
        with _silent_prefect(), temporary_settings({PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: N_RETRIES}):
            state = flow(**parameters, return_state=True)
            if not work.done and work.error is None:
                state.result()  # the flow did not reach the work; this raises its error
    except (Abort, httpx.TransportError, PrefectHTTPStatusError) as error:
        lost = error
    finally:
        del _handed_over[key]
    if lost is not None:
        _forget_messages()
    if work.error is not None:
        raise work.error
    if not work.done:
        raise no_answer(url, cast("Exception", lost)) from lost
    if lost is not None:
        log.warning("the Prefect server at %s no longer answers: the run is complete, but its page is not", url)
    return work.done[0]


def failed(error: SvdAudioError) -> Any:
    """The final state of a flow after an error that a user can cause: one line, without a traceback."""
    logging.getLogger("prefect.flow_runs").addFilter(_is_no_user_error)
    return Failed(message=error.line(), data=error)


def _is_no_user_error(record: logging.LogRecord) -> bool:
    """False for the traceback with which a worker's process repeats an error that the state Failed already shows."""
    return not (record.exc_info and isinstance(record.exc_info[1], SvdAudioError))


def still_answers(url: str) -> bool:
    """Whether a server answers; a restarting server has a few seconds to do so."""
    for attempt in range(N_CHECKS):
        if attempt:
            time.sleep(1)
        if answers(url):
            return True
    return False


@contextlib.contextmanager
def _silent_prefect() -> Generator[None]:
    """Show Prefect's log on its page only, and suppress its messages about a lost server."""
    runs, services = logging.getLogger("prefect"), logging.getLogger("prefect._internal.concurrency")
    before = runs.propagate, services.disabled, logging.raiseExceptions
    runs.propagate, services.disabled, logging.raiseExceptions = False, True, False
    try:
        yield
    finally:
        runs.propagate, services.disabled, logging.raiseExceptions = before


def _forget_messages() -> None:
    """Drop logs and events that wait for a lost server; Prefect would try for minutes to deliver them."""
    services: Any = import_module("prefect._internal.concurrency.services")  # no public way; the version is pinned
    for service in list(services._active_services):  # noqa: SLF001
        if service._loop is not None and service._task is not None:  # noqa: SLF001
            service._loop.call_soon_threadsafe(service._task.cancel)  # noqa: SLF001
    with _silent_prefect():
        APILogWorker.drain_all(timeout=FORGET_TIMEOUT_S)
        EventsWorker.drain_all(timeout=FORGET_TIMEOUT_S)
