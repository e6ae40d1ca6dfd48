"""Runs a request in this process, node by node."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from svdaudio.engine.body import BodyLoader, ModelSource, load_body
from svdaudio.engine.execute import Context, Reference, execute, load_outputs
from svdaudio.engine.journal import UNRECORDED, Journal, Progress, keep_journal, no_progress
from svdaudio.engine.request import Request
from svdaudio.errors import RunError, SvdAudioError
from svdaudio.store.base import Store
from svdaudio.store.runs import RunRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray

Stopping = Callable[[], bool]
"""Called between stages; true ends the run there."""


@dataclass(frozen=True, kw_only=True)
class RunWork:
    """A run, and everything that a runner needs to execute it or to read its results. Picklable if its parts are."""

    request: Request
    store: Store
    models: ModelSource
    """Models by role; nothing is loaded unless something is computed."""
    run: RunRecord
    """The run's record: a new one, or one from the store to continue the run."""
    record: bool = True
    """Keep the run in the store. If false, no record is written and no earlier run is read for reasons."""
    body: BodyLoader = load_body
    """Finds the body of a stage."""

    def context(self) -> Context:
        """What the nodes of the run are executed with."""
        earlier = None if self.record else ()
        return Context(self.request, self.store, self.models, self.body, earlier)

    def journal(self, progress: Progress) -> AbstractContextManager[Journal]:
        """Hold the run and keep its record; see `svdaudio.engine.journal.keep_journal`."""
        return keep_journal(self.request, self.store.runs if self.record else UNRECORDED, self.run, progress)


def never_stop() -> bool:
    """Return false, so that the run continues."""
    return False


def execute_run(work: RunWork, progress: Progress = no_progress, stopping: Stopping = never_stop) -> RunRecord:
    """Execute every node of a request and update the record of the run after each.

    The same call starts a run (`run` from `new_run`) and continues one (`run` from the store, `request` from
    `resumed_request`).

    Args:
        work: the run.
        progress: receives every event, in this thread.
        stopping: called before each node; if true, the run ends as "interrupted" and can be resumed.

    Returns:
        The record of the run, as it is in the store: "finished", or "interrupted" if it was stopped.

    Raises:
        Exception: the error of a stage, which is then also in the record (state "failed").
        KeyboardInterrupt: likewise (state "interrupted").
    """
    with work.journal(progress) as journal:
        context = work.context()
        references: dict[str, Reference] = {}
        for node in work.request.nodes:
            if stopping():
                journal.stop()
                break
            try:
                reference = execute(
                    context,
                    node.name,
                    references,
                    lambda what, text, name=node.name: journal.on_event(name, what, text),
                )
            except Exception as error:
                journal.failed(node.name, error)
                if isinstance(error, SvdAudioError):
                    error.node = node.name
                raise
            for again in reference.repaired:
                references[again.node] = again
            references[node.name] = reference
            journal.finished(reference)
    return journal.run


def read_outputs(work: RunWork, node: str, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of a node of a run; damaged or missing ones are recomputed first.

    Raises:
        RunError: the run has no such node, or did not reach it.
    """
    entry = work.run.stage(node)
    if entry is None or entry.action is None:
        raise RunError(
            f"run {work.run.id} has no outputs of '{node}'",
            got=entry.status if entry else None,
            fix=f"`svdaudio show {work.run.id}` lists its stages",
        )
    reference = Reference(
        node=node,
        action=entry.action,
        outputs=entry.outputs,
        status="cached",
        reason="",
        seconds=0.0,
        notes=tuple(entry.notes),
    )
    return load_outputs(work.context(), reference, names)
