"""Run a request in this process: its nodes in order, each by `execute`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from svdaudio.engine.body import BodyLoader, ModelSource, load_body
from svdaudio.engine.execute import Context, Reference, execute, load_outputs
from svdaudio.engine.journal import UNRECORDED, Progress, keep_journal, no_progress
from svdaudio.engine.request import Request
from svdaudio.errors import RunError, SvdAudioError
from svdaudio.store.base import Store
from svdaudio.store.runs import RunRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray

Stopping = Callable[[], bool]
"""Called between stages; true ends the run there."""


def never() -> bool:
    """Never stop."""
    return False


def execute_run(
    request: Request,
    store: Store,
    models: ModelSource,
    *,
    run: RunRecord,
    progress: Progress = no_progress,
    stopping: Stopping = never,
    record: bool = True,
    body: BodyLoader = load_body,
) -> RunRecord:
    """Execute every node of a request and keep the run's record as it goes.

    The same call starts a run (`run` from `new_run`) and continues one (`run` from the store, `request` from
    `resumed_request`).

    Args:
        request: what is to be computed.
        store: where artifacts and runs are.
        models: models by role; nothing is loaded unless something is computed.
        run: the run's record.
        progress: receives every event, in this thread.
        stopping: called before each node; if true, the run ends as "interrupted" and can be resumed.
        record: keep the run in the store. If false, no record is written and no earlier run is read for reasons.
        body: finds the body of a stage.

    Returns:
        The record of the run, as it is in the store: "finished", or "interrupted" if it was stopped.

    Raises:
        Exception: the error of a stage, once it is in the record (state "failed").
        KeyboardInterrupt: likewise (state "interrupted").
    """
    with keep_journal(request, store.runs if record else UNRECORDED, run, progress) as journal:
        context = Context(request, store, models, body, earlier=None if record else ())
        references: dict[str, Reference] = {}
        for node in request.nodes:
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


def read_outputs(
    request: Request,
    store: Store,
    models: ModelSource,
    *,
    run: RunRecord,
    node: str,
    names: Iterable[str] | None = None,
    body: BodyLoader = load_body,
) -> dict[str, NDArray[Any]]:
    """The arrays of a node of a run. If they are damaged or gone, they are recomputed first.

    Raises:
        RunError: the run has no such node, or did not reach it.
    """
    entry = run.stage(node)
    if entry is None or entry.action is None:
        raise RunError(
            f"run {run.id} has no outputs of '{node}'",
            got=entry.status if entry else None,
            fix=f"`svdaudio show {run.id}` lists its stages",
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
    return load_outputs(Context(request, store, models, body), reference, names)
