"""Schedules: deployments of this project's flows that a Prefect server schedules and a worker runs.

    add(Plan(name="nightly", command="batch", parameters={"pairs": "/data/pairs.csv"}, cron="0 3 * * *", title="..."))

A deployment names its flow by module (`svdaudio.flows.batch.run_pairs`), so that a worker only needs this project
installed and fetches nothing. Its parameters must be valid on the worker's machine: paths are absolute, and the store
is given.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import httpx
from prefect._vendor.croniter import croniter
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, VersionInfo, WorkerStatus
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments.runner import DeploymentApplyError, RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectHTTPStatusError
from prefect.flows import load_flow_from_entrypoint
from prefect.schedules import Schedule as Clock
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.types.entrypoint import EntrypointType
from pydantic import ValidationError

from svdaudio.engine.request import code_version
from svdaudio.errors import InputError, RunError
from svdaudio.flows import QUIET
from svdaudio.flows.server import no_answer, require_api_url
from svdaudio.processes import python_command

POOL = "svdaudio"
"""The work pool, which runs processes on the worker's machine."""
TAG = "svdaudio-schedule"
"""Marks schedules of this project among other deployments."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
POLL_INTERVAL_S = 1.0

Command = Literal["batch", "run", "baseline", "evaluate edits", "gc"]
ENTRYPOINTS: Mapping[Command, str] = {
    "batch": "svdaudio.flows.batch.run_pairs",
    "run": "svdaudio.flows.run.run_method",
    "baseline": "svdaudio.flows.run.run_method",
    "evaluate edits": "svdaudio.flows.evaluate.evaluate",
    "gc": "svdaudio.flows.gc.gc",
}
"""The flow of each command that can be scheduled."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A schedule to be created.

    Raises:
        InputError: the name or a parameter cannot be used.
    """

    name: str
    command: Command
    parameters: Mapping[str, Any]
    """Parameters of the flow, as JSON data."""
    cron: str
    """Five fields: minute, hour, day of the month, month, day of the week."""
    timezone: str = "UTC"
    """A name in the IANA database (`Europe/Berlin`)."""
    title: str
    """The equivalent command line, for display."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise InputError(
                "invalid name of a schedule",
                expected="letters, digits, '.', '_' and '-'",
                got=repr(self.name),
            )
        try:
            json.dumps([self.title, dict(self.parameters)], ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise InputError(
                "a file name that is not UTF-8 cannot be scheduled",
                got=ascii(self.title),
                fix="rename the file or folder",
            ) from error

    @property
    def clock(self) -> CronSchedule:
        """The schedule as Prefect's value.

        Raises:
            InputError: the cron expression or time zone is invalid, or the expression matches no date.
        """
        fields = "five fields: minute hour day month weekday"
        try:
            if len(self.cron.split()) != 5 and not self.cron.startswith("@"):
                raise ValueError(self.cron)  # six or seven fields, for seconds and years, are not supported
            clock = CronSchedule(cron=self.cron, timezone=self.timezone)
        except ValueError as error:
            if isinstance(error, ValidationError) and error.errors()[0]["loc"] == ("timezone",):
                raise InputError(
                    "unknown time zone", expected="a name like Europe/Berlin", got=repr(self.timezone)
                ) from error
            raise InputError(
                "invalid cron expression", expected=fields, got=repr(self.cron),
                fix='write it in quotes, like --cron "0 3 * * *"',
            ) from error  # fmt: skip
        try:
            croniter(self.cron, datetime.now(UTC)).get_next()
        except ValueError as error:
            raise InputError(
                "the cron expression matches no date", expected="a date that exists", got=repr(self.cron)
            ) from error
        return clock


@dataclass(frozen=True, kw_only=True)
class Started:
    """One execution of a schedule: a flow run."""

    id: str
    name: str
    state: str
    """Prefect's name of the state: Scheduled, Late, Pending, Running, Completed, Failed, Crashed, …"""
    message: str | None = None
    started_at: datetime | None = None
    ended: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether it ended successfully."""
        return self.state == "Completed"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A schedule as stored on the server."""

    name: str
    command: str
    title: str
    cron: str
    timezone: str
    paused: bool
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    next_at: datetime | None = None
    """Time of the next run; None while the schedule is paused, and for some seconds after it was created or resumed."""
    last: Started | None = None


@dataclass(frozen=True, kw_only=True)
class Board:
    """All schedules, and the number of workers to run them."""

    api_url: str
    schedules: tuple[Schedule, ...]
    n_workers: int
    """Number of workers of the pool that are online."""


def add(plan: Plan) -> Schedule:
    """Create a schedule, and the work pool unless it exists.

    Raises:
        InputError: the cron expression or a parameter is invalid, or the name is already in use.
        RunError: no server is running, or it does not answer.
    """
    clock = plan.clock
    flow: Any = load_flow_from_entrypoint(ENTRYPOINTS[plan.command])
    if "method" in plan.parameters and plan.command != "batch":
        flow = flow.with_options(name=plan.parameters["method"])
    deployment = RunnerDeployment.from_flow(
        flow,
        name=plan.name,
        schedule=Clock(cron=clock.cron, timezone=clock.timezone),
        parameters=dict(plan.parameters),
        description=plan.title,
        tags=[TAG],
        version=code_version(),
        work_pool_name=POOL,
        job_variables={"env": QUIET},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    with _server() as client:
        if _find(client, plan.name) is not None:
            raise InputError(
                f"schedule {plan.name} already exists", fix=f"`svdaudio schedule remove {plan.name}` removes it"
            )
        _ensure_pool(client)
        version = VersionInfo(
            type="prefect:simple", version=code_version()
        )  # otherwise Prefect runs git in this folder
        made: Any = deployment.apply(version_info=version, _sync=True)  # pyright: ignore[reportCallIssue]
        return _schedule(client, client.read_deployment(made))


def board() -> Board:
    """Every schedule, by name.

    Raises:
        RunError: no server is running, or it does not answer.
    """
    with _server() as client:
        found = [_schedule(client, deployment) for deployment in _ours(client)]
        return Board(
            api_url=str(client.api_url).rstrip("/"),
            schedules=tuple(sorted(found, key=lambda schedule: schedule.name)),
            n_workers=_n_workers(client),
        )


def pause(name: str) -> Schedule:
    """Pause a schedule until `resume`. Flow runs that have started continue."""
    return _change(name, lambda client, deployment: client.pause_deployment(deployment.id))


def resume(name: str) -> Schedule:
    """Resume a paused schedule."""
    return _change(name, lambda client, deployment: client.resume_deployment(deployment.id))


def remove(name: str) -> None:
    """Remove a schedule and its flow runs that have not started. Its runs and their results are kept.

    Raises:
        InputError: the schedule is unknown.
    """
    with _server() as client:
        client.delete_deployment(_require(client, name).id)


def run_now(name: str) -> tuple[Started, int]:
    """Run a schedule once, as soon as a worker is free.

    Returns:
        The flow run, and the number of workers.

    Raises:
        InputError: the schedule is unknown.
    """
    with _server() as client:
        run = client.create_flow_run_from_deployment(_require(client, name).id, tags=[TAG])
        return _started(run), _n_workers(client)


def wait(started: Started, on_change: Callable[[Started], None]) -> Started:
    """Wait until a flow run has ended, without a time limit.

    Args:
        started: from `run_now`.
        on_change: receives every change of state.
    """
    with _server() as client:
        while not started.ended:
            time.sleep(POLL_INTERVAL_S)
            now = _started(client.read_flow_run(UUID(started.id)))
            if now.state != started.state:
                on_change(now)
            started = now
    return started


def worker_command(*, limit: int) -> list[str]:
    """The command of Prefect that starts a worker, which does not install anything.

    Args:
        limit: maximum number of flow runs at a time.
    """
    return python_command(
        "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process",
        "--install-policy", "never", "--limit", str(limit),
    )  # fmt: skip


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker and of the flows that it runs.

    Raises:
        RunError: no server is running.
    """
    return {**environment, **QUIET, "PREFECT_API_URL": require_api_url()}


def ensure_pool() -> None:
    """Create the work pool unless it exists.

    Raises:
        RunError: no server is running, or it does not answer.
    """
    with _server() as client:
        _ensure_pool(client)


@contextlib.contextmanager
def _server() -> Generator[SyncPrefectClient]:
    url = require_api_url()
    try:
        with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
            yield client
    except httpx.TransportError as error:
        raise no_answer(url, error) from error
    except (PrefectHTTPStatusError, DeploymentApplyError) as error:
        raise RunError("the Prefect server rejected the request", got=" ".join(str(error).split())[:300]) from error


def _ensure_pool(client: SyncPrefectClient) -> None:
    try:
        client.read_work_pool(POOL)
    except ObjectNotFound:
        from prefect.workers.process import ProcessWorker

        template = ProcessWorker.get_default_base_job_template()
        with contextlib.suppress(ObjectAlreadyExists):  # created by another process meanwhile
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))


def _ours(client: SyncPrefectClient) -> list[DeploymentResponse]:
    return client.read_deployments(deployment_filter=DeploymentFilter.model_validate({"tags": {"all_": [TAG]}}))


def _find(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    return next((one for one in _ours(client) if one.name == name), None)


def _require(client: SyncPrefectClient, name: str) -> DeploymentResponse:
    found = _find(client, name)
    if found is None:
        raise InputError(f"unknown schedule '{name}'", fix="`svdaudio schedule list` lists them")
    return found


def _change(name: str, change: Callable[[SyncPrefectClient, DeploymentResponse], None]) -> Schedule:
    with _server() as client:
        found = _require(client, name)
        change(client, found)
        return _schedule(client, client.read_deployment(found.id))


def _schedule(client: SyncPrefectClient, deployment: DeploymentResponse) -> Schedule:
    clocks = [one.schedule for one in deployment.schedules if isinstance(one.schedule, CronSchedule)]
    planned, begun = {"state": {"type": {"any_": ["SCHEDULED"]}}}, {"start_time": {"is_null_": False}}
    ahead = _flow_run(client, deployment, planned, FlowRunSort.EXPECTED_START_TIME_ASC)
    last = _flow_run(client, deployment, begun, FlowRunSort.START_TIME_DESC)
    found = [command for command, entrypoint in ENTRYPOINTS.items() if entrypoint == deployment.entrypoint]
    method = deployment.parameters.get("method")
    return Schedule(
        name=deployment.name,
        command=method if method in found else found[0] if found else str(deployment.entrypoint),
        title=deployment.description or "",
        cron=", ".join(clock.cron for clock in clocks),
        timezone=(clocks[0].timezone if clocks else None) or "UTC",
        paused=deployment.paused or not any(one.active for one in deployment.schedules),
        parameters=deployment.parameters,
        next_at=None if ahead is None or deployment.paused else ahead.expected_start_time,
        last=None if last is None else _started(last),
    )


def _flow_run(
    client: SyncPrefectClient, deployment: DeploymentResponse, wanted: Mapping[str, Any], sort: FlowRunSort
) -> FlowRun | None:
    chosen = FlowRunFilter.model_validate({**wanted, "deployment_id": {"any_": [deployment.id]}})
    return next(iter(client.read_flow_runs(flow_run_filter=chosen, sort=sort, limit=1)), None)


def _started(run: FlowRun) -> Started:
    state = run.state
    return Started(
        id=str(run.id),
        name=run.name,
        state=run.state_name or "Unknown",
        message=None if state is None else state.message,
        started_at=run.start_time,
        ended=state is not None and state.is_final(),
    )


def _n_workers(client: SyncPrefectClient) -> int:
    try:
        workers = client.read_workers_for_work_pool(POOL)
    except PrefectHTTPStatusError as error:
        if error.response.status_code != 404:
            raise
        return 0  # the pool is created with the first schedule
    return sum(worker.status == WorkerStatus.ONLINE for worker in workers)
