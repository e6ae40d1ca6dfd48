"""Keeps the record of a run up to date while it is executed, for every runner."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from svdaudio.engine.execute import NodeEvent, Reference
from svdaudio.engine.request import Request
from svdaudio.errors import StoreError, SvdAudioError
from svdaudio.store.runs import RunRecord, RunState, StageEntry

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event of a run.

    "started": a node is being computed (cached nodes never start). "waiting": another process computes the same
    artifact. "note": a note of the stage. "finished", "failed", "skipped": a node is done, with the outcome in `entry`.
    """

    kind: Literal["started", "waiting", "note", "finished", "failed", "skipped"]
    node: str
    stage: str
    text: str = ""
    entry: StageEntry | None = None
    n_done: int
    """Nodes done so far, including this one if it is done."""
    n_total: int


Progress = Callable[[Event], None]


def no_progress(event: Event) -> None:
    """Receive progress and do nothing."""
    del event


class RunWriter(Protocol):
    """Writes records of runs: `RunLog` of a store, or `UNRECORDED`."""

    def write(self, run: RunRecord, *, durable: bool = True) -> RunRecord:
        """Create or replace the record of a run."""
        ...

    def hold(self, run_id: str) -> AbstractContextManager[None]:
        """Hold the lock of a run."""
        ...


class _Unrecorded:
    """Writes nothing."""

    def write(self, run: RunRecord, *, durable: bool = True) -> RunRecord:
        del durable
        return run

    def hold(self, run_id: str) -> AbstractContextManager[None]:
        del run_id
        return nullcontext()


UNRECORDED: RunWriter = _Unrecorded()
"""For runs that are kept in memory only."""


class Journal:
    """Updates the record of one run and reports its progress."""

    def __init__(self, request: Request, runs: RunWriter, run: RunRecord, progress: Progress) -> None:
        self.request = request
        self.runs = runs
        self.state_at_end: RunState = "finished"
        """The state in the record if the work ends without an error."""
        self._progress = progress
        self._begun = time.perf_counter()
        self._done: set[str] = set()
        fresh = tuple(StageEntry(node=node.name, stage=node.stage.name) for node in request.nodes)
        self.run = replace(run, state="running", stages=fresh, error=None, traceback=None, attempts=run.attempts + 1)
        self.runs.write(self.run)

    def on_event(self, node: str, what: NodeEvent, text: str) -> None:
        """Report an event from inside a node."""
        self._emit(what, node, text)

    def stop(self) -> None:
        """Mark the run as interrupted."""
        self.state_at_end = "interrupted"

    def finished(self, reference: Reference) -> None:
        """Enter a finished node and nodes that were recomputed for it."""
        for again in reference.repaired:
            self.run = self.run.with_stage(again.entry())
        entry = reference.entry()
        self.run = self.run.with_stage(entry)
        self._done.add(reference.node)
        if reference.status == "computed" or reference.repaired:
            self.run = replace(self.run, seconds=time.perf_counter() - self._begun)
            self.runs.write(self.run, durable=False)
        self._emit("finished", reference.node, entry.reason, entry)

    def failed(self, node: str, error: BaseException) -> None:
        """Enter a failed node; the run fails, and all pending nodes are skipped."""
        line = one_line(error)
        entry = replace(self._entry(node), status="failed", reason=line)
        self.run = replace(self.run.with_stage(entry), error=line)
        self._done.add(node)
        self._emit("failed", node, line, entry)
        for later in self.run.stages:
            if later.status == "pending":
                skipped = replace(later, status="skipped", reason=f"{node} failed")
                self.run = self.run.with_stage(skipped)
                self._done.add(later.node)
                self._emit("skipped", later.node, skipped.reason, skipped)

    def close(self, state: RunState, error: BaseException | None = None) -> RunRecord:
        """Write the final record."""
        unexpected = error is not None and isinstance(error, Exception) and not isinstance(error, SvdAudioError)
        self.run = replace(
            self.run,
            state=state,
            seconds=time.perf_counter() - self._begun,
            error=self.run.error or (one_line(error) if error else None),
            traceback="".join(traceback.format_exception(error)) if unexpected else None,
        )
        return self.runs.write(self.run)

    def _entry(self, node: str) -> StageEntry:
        return self.run.stage(node) or StageEntry(node=node, stage=self.request.table[node].stage.name)

    def _emit(
        self,
        kind: Literal["started", "waiting", "note", "finished", "failed", "skipped"],
        node: str,
        text: str,
        entry: StageEntry | None = None,
    ) -> None:
        self._progress(
            Event(
                kind=kind,
                node=node,
                stage=self.request.table[node].stage.name,
                text=text,
                entry=entry,
                n_done=len(self._done),
                n_total=len(self.run.stages),
            )
        )


@contextmanager
def keep_journal(request: Request, runs: RunWriter, run: RunRecord, progress: Progress) -> Generator[Journal]:
    """Hold a run and keep its record, which states the outcome however the work ends.

    Args:
        request: what is computed.
        runs: where the record goes.
        run: the record.
        progress: receives every event.

    Raises:
        RunError: another process is working on the run.
        StoreError: the store cannot be written.
    """
    with runs.hold(run.id):
        journal = Journal(request, runs, run, progress)
        try:
            yield journal
        except BaseException as error:
            try:
                journal.close("failed" if isinstance(error, Exception) else "interrupted", error)
            except StoreError as second:  # the first error is the one to report
                log.warning("%s", second)
            raise
        journal.close(journal.state_at_end)


def one_line(error: BaseException) -> str:
    """An error as one line."""
    if isinstance(error, SvdAudioError):
        return error.line()
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
