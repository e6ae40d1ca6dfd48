"""Stages as Prefect tasks: one task for each stage, and the function that runs the tasks of a run.

Tasks exchange references, never arrays, and Prefect caches nothing (`NO_CACHE`): the only cache is the store. A cached
node ends as `Completed(name="Cached")`, which Prefect's page shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import cache, partial
from typing import Any, cast

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, as_completed
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from svdaudio.engine.batch import BatchExecutor, execute_batch
from svdaudio.engine.batches import Job
from svdaudio.engine.execute import Context, NodeEvent, OnNodeEvent, Reference, execute
from svdaudio.engine.journal import Journal, Progress, no_progress
from svdaudio.engine.run import RunWork, Stopping, never_stop
from svdaudio.engine.stage import Node
from svdaudio.errors import SvdAudioError
from svdaudio.flows.clusters import worker_death
from svdaudio.session import Runner
from svdaudio.store.runs import RunRecord

_listener: ContextVar[OnNodeEvent | None] = ContextVar("_listener", default=None)
"""Receives the events of a task that runs in the calling thread."""


def one_at_a_time() -> TaskRunner[Any]:
    """Prefect's task runner for one stage at a time: models are large, and each stage uses every core."""
    return cast("TaskRunner[Any]", ThreadPoolTaskRunner(max_workers=1))


def never_retry(*_: object) -> bool:
    """Never retry a task: the same inputs fail in the same way."""
    return False


def execute_node(
    context: Context,
    node: str,
    label: str,  # noqa: ARG001 - read by `task_run_name`
    upstream: dict[str, Reference],
) -> State[Reference] | Reference:
    """Make sure that the artifact of a node is in the store.

    Args:
        context: request, store and models; opaque to Prefect.
        node: name of the node.
        label: name of the task run.
        upstream: references of at least the nodes that this one reads from.
    """
    log = get_run_logger()
    listener = _listener.get()

    def on_event(what: NodeEvent, text: str) -> None:
        log.info("%s: %s", what, text)
        if listener is not None:
            listener(what, text)

    try:
        reference = execute(context, node, upstream, on_event)
    except SvdAudioError as error:  # one line in Prefect's log, without a traceback
        return cast("State[Reference]", Failed(message=error.line(), data=error))
    if reference.status == "cached":
        message = f"artifact {reference.key[:12]}"
        return cast("State[Reference]", Completed(name="Cached", message=message, data=reference))
    return reference


@cache
def stage_task(stage: str, summary: str) -> Any:
    """The task of a stage.

    Args:
        stage: name of the stage.
        summary: description of the stage, for Prefect's page.
    """
    # With a retry that the condition never allows, Prefect does not log "NoneType: None" as the traceback of a failure.
    return task(
        name=stage, description=summary, task_run_name="{label}", cache_policy=NO_CACHE, persist_result=False,
        retries=1, retry_condition_fn=never_retry,
    )(execute_node)  # fmt: skip


def run_task(
    context: Context, node: Node, label: str, references: Mapping[str, Reference], on_event: OnNodeEvent
) -> Reference:
    """Run the task of a node in this thread.

    Args:
        context: request, store and models.
        node: the node.
        label: name of the task run.
        references: of at least the nodes upstream.
        on_event: receives every event of the node.
    """
    token = _listener.set(on_event)
    try:
        call = stage_task(node.stage.name, node.stage.summary)
        return call(*_arguments(context, node, label, references), return_state=True).result()
    finally:
        _listener.reset(token)


def _arguments(context: Context, node: Node, label: str, references: Mapping[str, Reference]) -> tuple[Any, ...]:
    """The arguments of a node's task."""
    return context, node.name, label, {source: references[source] for source in node.upstream}


def walk(
    work: RunWork, progress: Progress = no_progress, stopping: Stopping = never_stop, *, on_cluster: bool = False
) -> RunRecord:
    """Do what `svdaudio.engine.run.execute_run` does, with each node as a task of the calling flow.

    Args:
        work: the run.
        progress: receives every event; events from inside a stage only if the stage runs in this process.
        stopping: called before each node; if true, the run ends as "interrupted".
        on_cluster: whether the flow's task runner has workers elsewhere. They receive every node that is ready except
            those that read the user's files, which run here because workers may not have the files.
    """
    with work.journal(progress) as journal:
        context = work.context()
        if on_cluster:
            _ = context.previous, work.request.file_digests  # computed once and sent along
        _walk(journal, context, stopping, on_cluster=on_cluster)
    return journal.run


def _walk(journal: Journal, context: Context, stopping: Stopping, *, on_cluster: bool) -> None:
    waiting = list(context.request.nodes)
    references: dict[str, Reference] = {}
    under_way: dict[PrefectFuture[Reference], Node] = {}
    failures: list[Exception] = []

    def settle(node: Node, result: Callable[[], Reference]) -> None:
        try:
            reference = result()
        except Exception as error:  # noqa: BLE001 - raised below, once nothing is under way
            failures.append(worker_death(node.name, error) or error)
            journal.failed(node.name, failures[-1])
        else:
            references.update({again.node: again for again in reference.repaired}, **{node.name: reference})
            journal.finished(reference)

    while waiting or under_way:
        if waiting and not failures and stopping():
            journal.stop()
            waiting.clear()
        if failures:
            waiting.clear()
        ready = [node for node in waiting if all(source in references for source in node.upstream)]
        here = next((node for node in ready if not on_cluster or node.files), None)
        if here is not None:
            waiting.remove(here)
            on_event = partial(journal.on_event, here.name)
            settle(here, partial(run_task, context, here, here.name, references, on_event))
            continue
        for node in ready:
            waiting.remove(node)
            call = stage_task(node.stage.name, node.stage.summary).submit
            under_way[call(*_arguments(context, node, node.name, references))] = node
        if under_way:
            done = next(iter(as_completed(list(under_way))))
            settle(under_way.pop(done), done.result)
    if failures:
        raise failures[0]


def run_step(
    job: Job, context: Context, node: Node, references: Mapping[str, Reference], on_event: OnNodeEvent
) -> Reference:
    """Execute a node of a batch as a task of the calling flow."""

    def notes_only(what: NodeEvent, text: str) -> None:
        if what != "waiting":  # a task waits at once and is not postponed
            on_event(what, text)

    return run_task(context, node, f"{job.name}: {node.name}", references, notes_only)


class ThisFlow(Runner):
    """The runner of a `Session` inside a flow: every stage is a task of that flow."""

    name = "prefect"

    def execute(self, work: RunWork, progress: Progress, stopping: Stopping) -> RunRecord:
        """Execute every node of a run."""
        return walk(work, progress, stopping)

    def batch_executor(self, title: str) -> BatchExecutor:
        """The function that executes jobs of a batch."""
        del title
        return partial(execute_batch, step=run_step)
