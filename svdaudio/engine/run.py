"""Run a request in this process: the stage table, walked by calling the tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from svdaudio.engine.execute import Reference, Work, execute, load_outputs
from svdaudio.engine.journal import Event, Progress, keep_journal, no_progress
from svdaudio.engine.plan import Request
from svdaudio.errors import RunError
from svdaudio.store.base import Store
from svdaudio.store.runs import RunRecord
from tasks import Body, ModelSource, load_body

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Event", "Progress", "execute_run", "no_progress", "read_outputs"]


def execute_run(
    request: Request,
    store: Store,
    models: ModelSource,
    *,
    run: RunRecord,
    progress: Progress = no_progress,
    body: Callable[[str], Body] = load_body,
) -> RunRecord:
    """Execute every node of a request and keep the run's record as it goes.

    The same call starts a run (`run` from `svdaudio.engine.plan.new_run`) and continues one (`run` from the store,
    `request` from `svdaudio.engine.plan.resumed_request`).

    Args:
        request: what is to be computed.
        store: where artifacts and runs are.
        models: models by role; nothing is loaded unless something is computed.
        run: the run's record.
        progress: hears of every event, in this thread.
        body: finds the body of a stage.

    Returns:
        The record of the finished run, as it is in the store.

    Raises:
        Exception: what made a stage fail, after the record says so (state "failed").
        KeyboardInterrupt: likewise (state "interrupted").
    """
    with keep_journal(request, store, run, progress) as journal:
        work = Work(request, store, models, body)
        references: dict[str, Reference] = {}
        for node in request.nodes:
            try:
                reference = execute(
                    work, node.name, references, lambda what, text, name=node.name: journal.tell(name, what, text)
                )
            except Exception as error:
                journal.failed(node.name, error)
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
    body: Callable[[str], Body] = load_body,
) -> dict[str, NDArray[Any]]:
    """Arrays that a node gave in a run. If they are damaged or gone, they are computed anew first.

    Raises:
        RunError: the run has no such node, or did not get to it.
    """
    entry = run.stage(node)
    if entry is None or entry.action is None:
        raise RunError(
            f"run {run.id} has nothing of '{node}'",
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
    return load_outputs(Work(request, store, models, body), reference, names)
