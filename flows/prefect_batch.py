"""A batch through Prefect: one flow, in which every node of every pair is a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Failed

from flows.prefect_runner import execute_node, task_runner
from flows.published import publish_table
from flows.server import require_server
from svdaudio.engine.batch import OnError, Output, Progress, execute_batch, never, no_progress
from svdaudio.engine.batches import Job, table
from svdaudio.engine.execute import Reference, Tell, Work
from svdaudio.engine.stage import Node
from svdaudio.errors import SvdAudioError
from svdaudio.store.base import Store
from svdaudio.store.runs import RunRecord
from tasks import Body, ModelSource, load_body


def execute_batch_through_prefect(
    jobs: Sequence[Job],
    store: Store,
    models: ModelSource,
    *,
    title: str,
    output: Output | None = None,
    on_error: OnError = "continue",
    progress: Progress = no_progress,
    stopping: Callable[[], bool] = never,
    body: Callable[[str], Body] = load_body,
    api_url: str | None = None,
) -> list[RunRecord]:
    """As `svdaudio.engine.batch.execute_batch`, through a Prefect server.

    Args:
        jobs: see there, as for whatever is not named here.
        store: where artifacts and runs are.
        models: models by role.
        title: name of the flow run.
        output: writes the files of a run.
        on_error: whether the others go on.
        progress: hears of every event, but for those from inside a stage, which go to Prefect's log.
        stopping: asked before each node.
        body: finds the body of a stage.
        api_url: of the server; if not given, that of PREFECT_API_URL or of `svdaudio server start`.

    Raises:
        RunError: there is no server.
        Exception: as in process.
    """
    found: list[RunRecord] = []
    failed: list[SvdAudioError] = []

    def body_of_flow(pairs: list[str]) -> State[Any] | None:
        del pairs  # for Prefect's page
        try:
            found.extend(
                execute_batch(
                    jobs, store, models, output=output, on_error=on_error, progress=progress, stopping=stopping,
                    step=Submit(), body=body,
                )
            )  # fmt: skip
        except SvdAudioError as error:
            failed.append(error)
            return Failed(message=error.line())
        publish_table(table([job.member for job in jobs], found), title)
        n_failed = sum(run.state == "failed" for run in found)
        return Failed(message=f"{n_failed} of {len(found)} pairs failed") if n_failed else None

    as_flow = flow(
        name="batch", flow_run_name=title, task_runner=task_runner(), persist_result=False, validate_parameters=False
    )(body_of_flow)
    with temporary_settings({PREFECT_API_URL: api_url or require_server()}):
        state = as_flow(return_state=True, pairs=[job.name for job in jobs])
    if failed:
        raise failed[0]
    if not found and jobs:
        state.result()  # raises what else went wrong
    return found


class Submit:
    """A node as a task of the flow that is under way, waited for; Prefect's page shows what it reads from."""

    def __init__(self) -> None:
        self._futures: dict[tuple[str, str], PrefectFuture[Reference]] = {}

    def __call__(self, job: Job, work: Work, node: Node, references: Mapping[str, Reference], tell: Tell) -> Reference:
        """Submit the task, and give what it gives."""
        del references, tell
        named = execute_node.with_options(
            name=node.stage.name, task_run_name=f"{job.name}: {node.name}", description=node.stage.summary
        )
        upstream = {source: self._futures[job.name, source] for source in node.upstream}
        future = cast("PrefectFuture[Reference]", cast("Any", named).submit(work, node.name, upstream))
        self._futures[job.name, node.name] = future
        return future.result()
