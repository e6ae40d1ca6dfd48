"""Run a request through Prefect: the same stage table, walked by submitting the same tasks.

Tasks hand on references, never arrays, and Prefect caches nothing (`NO_CACHE`): there is one cache, the store. A
hit ends as `Completed(name="Cached")`, so that Prefect's page shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, as_completed
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.clusters import Cluster, is_worker_death
from flows.published import publish
from flows.server import require_server
from svdaudio.engine.execute import Reference, Work, execute
from svdaudio.engine.journal import Journal, Progress, keep_journal, no_progress
from svdaudio.engine.plan import FILE_PREFIX, Request
from svdaudio.engine.stage import Node
from svdaudio.errors import RunError, SvdAudioError
from svdaudio.store.base import Store
from svdaudio.store.runs import RunRecord
from svdaudio.views.report import Report
from tasks import Body, ModelSource, load_body


@task(name="stage", cache_policy=NO_CACHE, persist_result=False)
def execute_node(work: Work, name: str, upstream: dict[str, Reference]) -> State[Reference] | Reference:
    """One node as a Prefect task.

    Args:
        work: request, store and models; opaque to Prefect, since it is no collection.
        name: of the node.
        upstream: references of every node above, as futures when submitted.
    """
    log = get_run_logger()
    try:
        reference = execute(work, name, upstream, lambda what, text: log.info("%s: %s", what, text))
    except SvdAudioError as error:  # what a user can cause is one line, also in Prefect's log
        return cast("State[Reference]", Failed(message=error.line(), data=error))
    if reference.status == "cached":
        return cast(
            "State[Reference]", Completed(name="Cached", message=f"artifact {reference.key[:12]}", data=reference)
        )
    return reference


def execute_run(
    request: Request,
    store: Store,
    models: ModelSource,
    *,
    run: RunRecord,
    progress: Progress = no_progress,
    body: Callable[[str], Body] = load_body,
    api_url: str | None = None,
    cluster: Cluster | None = None,
    report: Callable[[RunRecord], Report] | None = None,
) -> RunRecord:
    """As `svdaudio.engine.run.execute_run`, through a Prefect server.

    Args:
        request: what is to be computed.
        store: where artifacts and runs are.
        models: models by role.
        run: the run's record.
        progress: hears of every event, but for those from inside a stage, which go to Prefect's log.
        body: finds the body of a stage.
        api_url: of the server; if not given, that of PREFECT_API_URL or of `svdaudio server start`.
        cluster: whose workers compute the stages; if not given, this process does.
        report: writes the files of the finished run, which Prefect's page then shows.

    Raises:
        RunError: there is no server, or no cluster, or its workers die of a stage.
        Exception: as in process.
    """
    finished: list[RunRecord] = []
    failed: list[SvdAudioError] = []

    def body_of_flow(files: dict[str, str], config: dict[str, Any], targets: list[str]) -> State[Any] | None:
        del files, config, targets  # for Prefect's page
        try:
            # A cluster is given all that is ready, and shares it out itself.
            n_parallel = 1 if cluster is None else len(request.nodes)
            walked = walk(
                request, store, models, run=run, progress=progress, body=body,
                n_parallel=n_parallel, on_cluster=cluster is not None,
            )  # fmt: skip
            finished.append(walked)
            if report is not None:
                publish(report(walked), walked.id)
        except SvdAudioError as error:
            failed.append(error)
            return Failed(message=error.line())
        return None

    as_flow = flow(
        name=request.kind,
        flow_run_name=run.id,
        task_runner=task_runner() if cluster is None else cluster.task_runner(),
        persist_result=False,
        validate_parameters=False,
    )(body_of_flow)
    with temporary_settings({PREFECT_API_URL: api_url or require_server()}):
        state = as_flow(
            return_state=True,
            files={name: use.path for name, use in run.files.items()},
            config=request.config.model_dump(mode="json"),
            targets=list(request.targets),
        )
    if failed:
        raise failed[0]
    state.result()  # raises what else went wrong
    return finished[0]


def task_runner() -> TaskRunner[Any]:
    """One stage at a time: models are large, and each uses every core."""
    return cast("TaskRunner[Any]", ThreadPoolTaskRunner(max_workers=1))


def walk(
    request: Request,
    store: Store,
    models: ModelSource,
    *,
    run: RunRecord,
    progress: Progress = no_progress,
    body: Callable[[str], Body] = load_body,
    n_parallel: int = 1,
    on_cluster: bool = False,
) -> RunRecord:
    """Submit every node of a request as a task of the flow this is called in, and keep the run's record.

    A node is submitted once those above it are done; after a failure none is.

    Args:
        request: what is to be computed.
        store: where artifacts and runs are.
        models: models by role.
        run: the run's record.
        progress: hears of every event.
        body: finds the body of a stage.
        n_parallel: most tasks under way at a time.
        on_cluster: whether the flow's task runner has workers elsewhere. Stages that read the user's files are then
            computed here, since the workers may not have them.
    """
    with keep_journal(request, store, run, progress) as journal:
        work = Work(request, store, models, body)
        if on_cluster:
            _ = work.previous, request.file_digests  # looked up once, and sent along
        _walk(journal, work, n_parallel=n_parallel, on_cluster=on_cluster)
    return journal.run


def _walk(journal: Journal, work: Work, *, n_parallel: int, on_cluster: bool) -> None:
    waiting = list(work.request.nodes)
    futures: dict[str, PrefectFuture[Reference]] = {}
    references: dict[str, Reference] = {}
    under_way: dict[str, PrefectFuture[Reference]] = {}
    failures: list[Exception] = []

    def settle(name: str, result: Callable[[], Reference]) -> None:
        try:
            references[name] = result()
        except Exception as raised:  # noqa: BLE001 - told again below, once nothing is under way
            error = _worker_death(name, raised) if is_worker_death(raised) else raised
            failures.append(error)
            journal.failed(name, error)
        else:
            journal.finished(references[name])

    while under_way or (waiting and not failures):
        for node in _ready(waiting, references, n_parallel - len(under_way)):
            if failures:
                break
            waiting.remove(node)
            if on_cluster and _reads_files(node):
                settle(node.name, _task(node)(work, node.name, {}, return_state=True).result)
                continue
            # References, not futures, for a cluster: what a worker found must not have to be found again if it dies.
            known = references if on_cluster else futures
            upstream = {source: known[source] for source in node.upstream}
            under_way[node.name] = futures[node.name] = _task(node).submit(work, node.name, upstream)
        if under_way:
            done = next(iter(as_completed(list(under_way.values()))))
            name = next(name for name, future in under_way.items() if future is done)
            del under_way[name]
            settle(name, done.result)
    if failures:
        raise failures[0]


def _ready(waiting: list[Node], references: Mapping[str, Reference], room: int) -> list[Node]:
    return [node for node in waiting if all(source in references for source in node.upstream)][:room]


def _reads_files(node: Node) -> bool:
    return any(source.startswith(FILE_PREFIX) for source in node.inputs.values())


def _task(node: Node) -> Any:
    return execute_node.with_options(name=node.stage.name, task_run_name=node.name, description=node.stage.summary)


def _worker_death(node: str, error: Exception) -> RunError:
    return RunError(
        f"the workers that were to compute {node} died, one after the other",
        got=type(error).__name__,
        fix="look into their logs; with too little memory, fewer workers a machine may do",
    )
