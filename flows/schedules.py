"""Schedules: deployments of this project's flows that a Prefect server starts by the clock and a worker carries out.

    add(Plan(name="nightly", command="batch", parameters={"pairs": "/data/pairs.csv"}, cron="0 3 * * *", title="..."))

A deployment names its flow as a module (`flows.deployed_batch.batch`), so that a worker needs this project installed
and nothing fetched. What it says must hold on the worker's machine: paths are absolute, and the store is named.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, cast

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectHTTPStatusError
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.callables import parameter_schema
from pydantic import ValidationError

from flows import QUIET
from flows.server import require_api_url, silent
from svdaudio.errors import InputError, RunError
from svdaudio.processes import python_command

POOL = "svdaudio"
"""The work pool, of processes on the worker's machine."""
TAG = "svdaudio-schedule"
"""Tells our schedules from other deployments."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
LOOK_AGAIN_S = 1.0

Command = Literal["batch", "run", "baseline", "evaluate edits", "gc"]
ENTRYPOINTS: Mapping[Command, str] = {
    "batch": "flows.deployed_batch.batch",
    "run": "flows.manipulate.manipulate",
    "baseline": "flows.baseline.baseline",
    "evaluate edits": "flows.evaluate.evaluate",
    "gc": "flows.gc.gc",
}
"""The flow that does what a command of the command line does."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A schedule to be made."""

    name: str
    command: Command
    parameters: Mapping[str, Any]
    """Of the flow, as JSON has them."""
    cron: str
    """Five fields: minute, hour, day of the month, month, day of the week."""
    timezone: str = "UTC"
    """As in the IANA data base (`Europe/Berlin`)."""
    title: str
    """What people see: the command line that it stands for."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise InputError(
                "that is no name for a schedule", expected="letters, digits, '.', '_' and '-'", got=repr(self.name)
            )

    @property
    def clock(self) -> CronSchedule:
        """The times.

        Raises:
            InputError: they cannot be understood.
        """
        try:
            return CronSchedule(cron=self.cron, timezone=self.timezone)
        except ValidationError as error:
            if any(fault["loc"] == ("timezone",) for fault in error.errors()):
                raise InputError(
                    "there is no such timezone", expected="a name as Europe/Berlin", got=repr(self.timezone)
                ) from error
            raise InputError(
                "the times cannot be understood",
                expected="five fields of cron: minute hour day month weekday",
                got=repr(self.cron),
                fix='write it like --cron "0 3 * * *", in quotes',
            ) from error


@dataclass(frozen=True, kw_only=True)
class Started:
    """One carrying out of a schedule: a flow run."""

    id: str
    name: str
    state: str
    """Prefect's word for it: Scheduled, Late, Pending, Running, Completed, Failed, Crashed, …"""
    message: str | None = None
    started_at: datetime | None = None
    ended: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether it ended well."""
        return self.state == "Completed"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A schedule as the server has it."""

    name: str
    command: str
    title: str
    cron: str
    timezone: str
    paused: bool
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    next_at: datetime | None = None
    """None while it is paused, and for some seconds after it was made or resumed."""
    last: Started | None = None


@dataclass(frozen=True, kw_only=True)
class Board:
    """All schedules, and whether there is anybody to carry them out."""

    api_url: str
    schedules: tuple[Schedule, ...]
    n_workers: int
    """Workers of the pool that gave a sign of life of late."""


def add(plan: Plan) -> Schedule:
    """Make a schedule, and the work pool if there is none.

    Raises:
        InputError: the times or the name cannot be used, or there is a schedule of that name.
        RunError: there is no server, or it does not answer.
    """
    clock = plan.clock
    entrypoint = ENTRYPOINTS[plan.command]
    flow = cast("Any", load_flow_from_entrypoint(entrypoint))
    with _server() as client:
        if _find(client, plan.name) is not None:
            raise InputError(
                f"there is a schedule {plan.name} already", fix=f"`svdaudio schedule remove {plan.name}` removes it"
            )
        _ensure_pool(client)
        made = client.create_deployment(
            flow_id=client.create_flow_from_name(flow.name),
            name=plan.name,
            entrypoint=entrypoint,
            parameters=dict(plan.parameters),
            parameter_openapi_schema=parameter_schema(flow).model_dump_for_openapi(),
            enforce_parameter_schema=True,
            schedules=[DeploymentScheduleCreate(schedule=clock)],
            work_pool_name=POOL,
            job_variables={"env": QUIET},
            tags=[TAG],
            description=plan.title,
        )
        return _schedule(client, client.read_deployment(made))


def board() -> Board:
    """Every schedule, by name.

    Raises:
        RunError: there is no server, or it does not answer.
    """
    with _server() as client:
        ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
        found = [_schedule(client, deployment) for deployment in client.read_deployments(deployment_filter=ours)]
        return Board(
            api_url=str(client.api_url).rstrip("/"),
            schedules=tuple(sorted(found, key=lambda schedule: schedule.name)),
            n_workers=_n_workers(client),
        )


def pause(name: str) -> Schedule:
    """Start nothing more by the clock, until `resume`. What has begun goes on."""
    return _change(name, lambda client, deployment: client.pause_deployment(deployment.id))


def resume(name: str) -> Schedule:
    """Start by the clock again."""
    return _change(name, lambda client, deployment: client.resume_deployment(deployment.id))


def remove(name: str) -> None:
    """Forget a schedule, and what it has not begun. Its runs, and what they made, stay.

    Raises:
        InputError: there is none of that name.
    """
    with _server() as client:
        client.delete_deployment(_require(client, name).id)


def run_now(name: str) -> tuple[Started, int]:
    """Have a schedule carried out once, as soon as a worker gets to it.

    Returns:
        What was started, and how many workers there are.

    Raises:
        InputError: there is none of that name.
    """
    with _server() as client:
        run = client.create_flow_run_from_deployment(_require(client, name).id, tags=[TAG])
        return _started(run), _n_workers(client)


def wait(started: Started, changed: Callable[[Started], None]) -> Started:
    """Wait until a flow run has ended, however long that takes.

    Args:
        started: what `run_now` gave.
        changed: told of every other state.
    """
    from uuid import UUID

    with _server() as client:
        while not started.ended:
            time.sleep(LOOK_AGAIN_S)
            now = _started(client.read_flow_run(UUID(started.id)))
            if now.state != started.state:
                changed(now)
            started = now
    return started


def worker_command(*, limit: int) -> list[str]:
    """The command that starts a worker: Prefect's own, which must install nothing.

    Args:
        limit: most flow runs at a time.
    """
    return python_command(
        "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process",
        "--install-policy", "never", "--limit", str(limit),
    )  # fmt: skip


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker and of the flows it starts.

    Raises:
        RunError: there is no server.
    """
    return {**environment, **QUIET, "PREFECT_API_URL": require_api_url()}


def ensure_pool() -> None:
    """Make the work pool, if there is none.

    Raises:
        RunError: there is no server, or it does not answer.
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
        raise silent(url, error) from error
    except PrefectHTTPStatusError as error:
        raise RunError(
            "the Prefect server refuses", got=f"status {error.response.status_code}, {error.response.text[:300]}"
        ) from error


def _ensure_pool(client: SyncPrefectClient) -> None:
    try:
        client.read_work_pool(POOL)
    except ObjectNotFound:
        from prefect.workers.process import ProcessWorker

        template = ProcessWorker.get_default_base_job_template()
        with contextlib.suppress(ObjectAlreadyExists):  # another was quicker
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))


def _find(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    found = [one for one in client.read_deployments(deployment_filter=ours) if one.name == name]
    return found[0] if found else None


def _require(client: SyncPrefectClient, name: str) -> DeploymentResponse:
    found = _find(client, name)
    if found is None:
        raise InputError(f"there is no schedule {name}", fix="`svdaudio schedule list` shows what there is")
    return found


def _change(name: str, change: Callable[[SyncPrefectClient, DeploymentResponse], None]) -> Schedule:
    with _server() as client:
        found = _require(client, name)
        change(client, found)
        return _schedule(client, client.read_deployment(found.id))


def _schedule(client: SyncPrefectClient, deployment: DeploymentResponse) -> Schedule:
    clocks = [one.schedule for one in deployment.schedules if isinstance(one.schedule, CronSchedule)]
    commands = {entrypoint: command for command, entrypoint in ENTRYPOINTS.items()}
    ahead = _flow_run(
        client,
        deployment,
        FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))),
        FlowRunSort.EXPECTED_START_TIME_ASC,
    )
    begun = FlowRunFilter(start_time=FlowRunFilterStartTime(is_null_=False))
    last = _flow_run(client, deployment, begun, FlowRunSort.START_TIME_DESC)
    return Schedule(
        name=deployment.name,
        command=commands.get(cast("Any", deployment.entrypoint), str(deployment.entrypoint)),
        title=deployment.description or "",
        cron=", ".join(clock.cron for clock in clocks),
        timezone=(clocks[0].timezone if clocks else None) or "UTC",
        paused=deployment.paused or not any(one.active for one in deployment.schedules),
        parameters=deployment.parameters,
        next_at=None if ahead is None or deployment.paused else ahead.expected_start_time,
        last=None if last is None else _started(last),
    )


def _flow_run(
    client: SyncPrefectClient, deployment: DeploymentResponse, wanted: FlowRunFilter, sort: FlowRunSort
) -> FlowRun | None:
    wanted = wanted.model_copy(update={"deployment_id": FlowRunFilterDeploymentId(any_=[deployment.id])})
    found = client.read_flow_runs(flow_run_filter=wanted, sort=sort, limit=1)
    return found[0] if found else None


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
    except ObjectNotFound:
        return 0
    return sum(worker.status == WorkerStatus.ONLINE for worker in workers)
