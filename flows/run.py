"""Runs any method as one flow, which the command line starts with `--prefect` and every deployment of a run uses.

Session(store, runner=PrefectRunner()).run(request)
run_method.with_options(name="baseline").to_deployment(...)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from svdaudio.engine.batch import BatchExecutor
from svdaudio.engine.journal import Progress
from svdaudio.engine.request import Request
from svdaudio.engine.run import RunWork, Stopping
from svdaudio.errors import InputError, RunError, SvdAudioError
from svdaudio.flows import pages
from svdaudio.flows.clusters import Cluster
from svdaudio.flows.handover import failed, handed_over, run_here
from svdaudio.flows.stages import ThisFlow, one_at_a_time, walk
from svdaudio.places import out_root
from svdaudio.session import Runner, Session
from svdaudio.store.runs import RunRecord, new_run_id
from svdaudio.views.outputs import report_of

RUN_ID = re.compile(r"\d{8}-\d{6}-\d{3}-[0-9a-f]{4}")


def name_of_run() -> str:
    """Name of the flow run: the id of its run. A retried flow run keeps its name, and so continues its run."""
    run_id = flow_run.get_parameters().get("run")
    name = str(flow_run.get_name())
    return run_id or (name if RUN_ID.fullmatch(name) else new_run_id())


@flow(name="run", flow_run_name=name_of_run, task_runner=one_at_a_time(), persist_result=False)
def run_method(
    method: str,
    files: dict[str, Path | str],
    settings: dict[str, Any] | None = None,
    targets: list[str] | None = None,
    store: str | None = None,
    run: str | None = None,
) -> Any:
    """Run a method on files, and write its sounds, pictures and scores.

    Args:
        method: name of the method.
        files: its files by name.
        settings: dotted parameter → value; clicks may be texts such as "120,80".
        targets: nodes to compute instead of the method's targets.
        store: location of the store; by default that of SVDAUDIO_STORE or `places.default_store()`.
        run: id of a new run, or of a run to resume.

    Returns:
        The run's id and the files written; or, after an error that a user can cause, the state Failed.
    """
    run_id = run or str(flow_run.get_name())
    try:
        work = handed_over(run_id)
        if work is not None:
            return {"run": work().id}
        return _run(run_id, method, files, settings or {}, tuple(targets or ()), store)
    except SvdAudioError as error:
        return failed(error)


manipulate = run_method.with_options(name="manipulate", description="Generate the sound of an edit of a picture.")
baseline = run_method.with_options(name="baseline", description="Plain SSV2A: the sound of one picture.")


def _run(
    run_id: str,
    method: str,
    files: dict[str, Path | str],
    settings: dict[str, Any],
    targets: tuple[str, ...],
    store: str | None,
) -> dict[str, Any]:
    """Start the run, or resume it if it is in the store."""
    if not RUN_ID.fullmatch(run_id):
        raise InputError("invalid run id", expected="one like 20250131-235959-999-0a1b", got=repr(run_id))
    session = Session(store, runner=ThisFlow())
    request = session.request(method, files, settings, targets=targets, source="flow run")
    for text in request.resolved.remarks:
        get_run_logger().warning("%s", text)
    try:
        earlier = session.store.runs.read(run_id)
    except FileNotFoundError:
        result = session.run(request, run=session.new_run(request, run_id))
    except ValueError as error:
        raise RunError(f"the record of run {run_id} is damaged", got=error, fix="start a new run") from error
    else:
        if not _is_run_of(request, earlier):
            raise RunError(f"run {run_id} has other files or settings", fix="omit `run` to start a new one")
        result = session.resume(earlier)
    for text in result.report.notes:
        get_run_logger().warning("%s", text)
    pages.show_run(result.run, result.report)
    return {"run": result.run.id, **result.report.results()}


def _is_run_of(request: Request, run: RunRecord) -> bool:
    """Whether a run belongs to this request."""
    return (request.kind, request.file_digests, request.config.tables(), request.targets) == (
        run.kind, {name: use.digest for name, use in run.files.items()}, run.config, run.targets
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PrefectRunner(Runner):
    """Runs each request as a flow of this process, through a Prefect server."""

    name: Literal["prefect", "dask", "ray"] = "prefect"
    """Where the stages are computed: in this process, or by the workers of a cluster."""
    address: str | None = None
    """Address of the cluster's scheduler; without one, a cluster on this machine is started for the flow."""
    api_url: str | None = None
    """Address of the server's API; by default that of PREFECT_API_URL or of `svdaudio server start`."""

    def execute(self, work: RunWork, progress: Progress, stopping: Stopping) -> RunRecord:
        """Execute every node of a run as a task.

        Raises:
            RunError: no server is running, no cluster answers, or its workers die.
            Exception: as for a run in this process.
        """
        cluster = None if self.name == "prefect" else Cluster(kind=self.name, address=self.address)
        compute = partial(walk, work, progress, stopping, on_cluster=cluster is not None)
        request, store = work.request, work.store

        def show(run: RunRecord) -> None:
            if work.record and run.state == "finished":
                pages.show_run(run, report_of(replace(work, run=run), root=out_root(store.location)))

        parameters = {
            "method": request.kind,
            "files": {name: pages.readable(use.path) for name, use in work.run.files.items()},
            "settings": request.config.flat(),
            "targets": list(request.targets),
            "store": pages.readable(store.location),
            "run": work.run.id,
        }
        named = run_method.with_options(
            name=request.kind, task_runner=cluster.task_runner() if cluster else one_at_a_time()
        )
        return run_here(named, parameters, key=work.run.id, compute=compute, show=show, api_url=self.api_url)

    def batch_executor(self, title: str) -> BatchExecutor:
        """The function that executes jobs of the batch of that title, each node as a task; picklable.

        Raises:
            InputError: the stages are computed by a cluster.
        """
        if self.name != "prefect":
            raise InputError(f"--runner {self.name} cannot run a batch", fix="give --runner prefect, or omit it")
        from svdaudio.flows.batch import execute_through_prefect

        return partial(execute_through_prefect, title=title, api_url=self.api_url)
