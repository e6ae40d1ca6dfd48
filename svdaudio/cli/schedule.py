"""`svdaudio schedule`: what a Prefect server starts on a schedule, and a worker runs."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from svdaudio.cli import evaluate, options, sessions
from svdaudio.cli import gc as cleaning
from svdaudio.cli.grouped import grouped
from svdaudio.cli.help import Commands, GroupedCommands
from svdaudio.cli.output import console, print_json, remark, short_path, table
from svdaudio.errors import InputError

if TYPE_CHECKING:
    from svdaudio.config import Resolved
    from svdaudio.flows.schedules import Command, Schedule, Started
    from svdaudio.session import Session


class AfterName(GroupedCommands):
    """Commands after a name and options of the group: `add NAME --cron "…" batch pairs.csv`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the name first: a group's own words end its options otherwise."""
        named = bool(args) and not args[0].startswith("-")
        return super().parse_args(ctx, ["--name", *args] if named else args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Write the usage as it is typed."""
        return ["NAME", *super().collect_usage_pieces(ctx)]


app = Commands(help="Batches, runs and cleaning on a schedule, through a Prefect server.")
add = Commands(
    help='Run a command on a schedule: add nightly --cron "0 3 * * *" batch pairs.csv.',
    cls=AfterName,
)
add_evaluate = Commands(help="Measure the method on held-out edits.")
app.add_typer(add, name="add")
add.add_typer(add_evaluate, name="evaluate")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the schedule.", show_default=False)]


@dataclass(frozen=True, kw_only=True)
class When:
    """The options of `add` before the command: the schedule's name and times."""

    name: str
    cron: str
    timezone: str


@add.callback()
def _add(  # pyright: ignore[reportUnusedFunction] - typer calls it
    context: typer.Context,
    *,
    name: Annotated[str | None, typer.Option("--name", hidden=True)] = None,
    cron: Annotated[
        str | None,
        typer.Option(
            "--cron", metavar="TIMES", help='Minute, hour, day, month, weekday: "30 3 * * 1-5".', show_default=False
        ),
    ] = None,
    timezone: Annotated[str, typer.Option("--timezone", metavar="ZONE", help="As Europe/Berlin.")] = "UTC",
) -> None:
    """Run a command on a schedule.

    First the schedule's name and its times, then the command as one would type it: svdaudio schedule add nightly
    --cron "0 3 * * *" batch pairs.csv.
    """
    if name is None or cron is None:
        raise InputError(
            f"a schedule needs a {'name' if name is None else 'time'}",
            fix='write it like `svdaudio schedule add nightly --cron "0 3 * * *" batch pairs.csv`',
        )
    context.obj = When(name=name, cron=cron, timezone=timezone)


@add.command("batch")
@grouped
def add_batch(
    context: typer.Context,
    pairs: Annotated[
        Path, typer.Argument(metavar="PAIRS", show_default=False, help="As for `svdaudio batch`; read at every run.")
    ],
    *,
    parameters: options.SoundParameters,
    method: options.MethodName = "manipulate",
    no_baselines: options.NoBaselines = False,
    pictures: options.Pictures = False,
    on_error: options.OnErrorOption = "continue",
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Many pairs, as `svdaudio batch`. Every line is checked now, and again at every run."""
    from svdaudio.cli.batch import prepare
    from svdaudio.methods import find_method
    from svdaudio.studies.pairs import Common, read_rows

    session = sessions.open_session(store)
    found = find_method(method)
    variant = "no_baselines" if no_baselines else None
    settings = _settings(session, method, parameters)
    common = Common(given=settings, variant=variant)
    prepare(session, read_rows(pairs, found), found, common)
    flow_parameters = {
        "pairs": str(pairs.absolute()),
        "method": method,
        "settings": settings,
        "variant": variant,
        "store": session.store.location,
        "pictures": pictures,
        "on_error": on_error,
    }
    _add_schedule(context, "batch", method, [pairs], flow_parameters, as_json=as_json)


@add.command("run")
@grouped
def add_run(
    context: typer.Context,
    files: options.Files,
    *,
    parameters: options.EditParameters,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """One run of a method, as `svdaudio run`."""
    _add_run(context, "run", parameters.method, files, parameters, store, as_json=as_json)


@add.command("baseline")
@grouped
def add_baseline(
    context: typer.Context,
    image: options.Image,
    *,
    parameters: options.SoundParameters,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Plain SSV2A of one picture, as `svdaudio baseline`."""
    _add_run(context, "baseline", "baseline", [image], parameters, store, as_json=as_json)


@add_evaluate.callback()
def _evaluate() -> None:  # pyright: ignore[reportUnusedFunction] - typer calls it, and keeps `edits` a command of its own
    """Measure the method on held-out edits."""


@add_evaluate.command("edits")
@grouped
def add_edits(
    context: typer.Context,
    *,
    only: evaluate.Only = None,
    unscaled: evaluate.Unscaled = False,
    scenes: evaluate.Seed = None,
    out: evaluate.Folder = None,
    parameters: options.SoundParameters,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """The 72 ordered edits of the farm, as `svdaudio evaluate edits`."""
    from svdaudio.studies.edit_study import chosen_edits

    session = sessions.open_session(store)
    chosen_edits(only)
    flow_parameters = {
        "settings": _settings(session, "manipulate", parameters),
        "store": session.store.location,
        "only": only or None,
        "unscaled": unscaled,
        "out": None if out is None else str(out.absolute()),
        **({} if scenes is None else {"scenes": scenes}),
    }
    _add_schedule(context, "evaluate edits", None, [], flow_parameters, as_json=as_json)


@add.command("gc")
def add_gc(
    context: typer.Context,
    *,
    keep_days: cleaning.KeepDays = None,
    max_size: cleaning.MaxSize = None,
    grace_hours: cleaning.GraceHours = cleaning.GRACE_HOURS,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Make room in a store, as `svdaudio gc`."""
    policy = cleaning.policy_of(keep_days, max_size, grace_hours)
    limits = {"keep_days": policy.keep_days, "max_bytes": policy.max_bytes, "grace_hours": grace_hours}
    location = sessions.open_store(store).location
    _add_schedule(context, "gc", None, [], {"store": location, **limits}, as_json=as_json)


@app.command("list")
def list_schedules(*, as_json: options.Json = False) -> None:
    """List all schedules: when each starts next, and how it ended last."""
    from svdaudio.flows import schedules

    board = schedules.board()
    if as_json:
        print_json(
            {
                "server": board.api_url,
                "workers": board.n_workers,
                "schedules": [_as_json(schedule) for schedule in board.schedules],
            }
        )
        return
    screen = console()
    if not board.schedules:
        screen.print("there are no schedules; `svdaudio schedule add --help` says how to add one", markup=False)
        return
    rows = [[one.name, one.title, f"{one.cron} {one.timezone}", _next(one), _last(one)] for one in board.schedules]
    screen.print(table(["name", "what", "when", "next", "last"], rows))
    _remark_workers(board.n_workers)


@app.command()
def pause(name: Name, *, as_json: options.Json = False) -> None:
    """Start nothing more on the schedule, until `resume`. What has started continues."""
    from svdaudio.flows import schedules

    _print_schedule(schedules.pause(name), "paused", as_json=as_json)


@app.command()
def resume(name: Name, *, as_json: options.Json = False) -> None:
    """Start on the schedule again."""
    from svdaudio.flows import schedules

    _print_schedule(schedules.resume(name), "resumed", as_json=as_json)


@app.command("run-now")
def run_now(
    name: Name,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it has ended; exit with 1 unless it ended well.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Run it once, now, whatever its times are."""
    from svdaudio.flows import schedules

    started, n_workers = schedules.run_now(name)
    _remark_workers(n_workers)
    if wait:
        started = schedules.wait(started, lambda now: remark(f"{now.name}: {now.state.lower()}"))
    if as_json:
        print_json({"schedule": name, **_started_json(started)})
    else:
        ending = f": {started.state}" + (f". {started.message}" if started.message else "") if wait else ""
        console().print(f"flow run {started.name} of {name}{ending}", markup=False)
    if wait and not started.succeeded:
        raise typer.Exit(1)


@app.command()
def remove(name: Name, *, as_json: options.Json = False) -> None:
    """Remove a schedule, and what it has not started. Its runs and what they made stay."""
    from svdaudio.flows import schedules

    schedules.remove(name)
    if as_json:
        print_json({"removed": name})
    else:
        console().print(f"removed {name}", markup=False)


@app.command()
def worker(
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most schedules that run at a time.")] = 1,
) -> None:
    """Run what is due, until Ctrl-C. One at a time by default: models are large."""
    from svdaudio.flows import schedules

    environment = schedules.worker_environment(os.environ)
    schedules.ensure_pool()
    command = schedules.worker_command(limit=limit)
    sys.stdout.flush()
    os.execve(command[0], command, environment)  # noqa: S606 - Prefect's own command takes this process's place


def _add_run(
    context: typer.Context,
    command: Command,
    method: str,
    files: list[Path],
    parameters: options.SoundParameters,
    store: str | None,
    *,
    as_json: bool,
) -> None:
    """Schedule a run of a method, after a check of its request."""
    session = sessions.open_session(store)
    request = sessions.request_of(session, method, files, parameters)
    variant = getattr(parameters, "variant", None)
    flow_parameters = {
        "method": method,
        "files": {name: str(path.absolute()) for name, path in request.files.items()},
        "settings": _chosen(request.resolved),
        "targets": None if variant is None else list(request.targets),
        "store": session.store.location,
    }
    _add_schedule(context, command, method, files, flow_parameters, as_json=as_json)


def _settings(session: Session, method: str, parameters: options.Parameters) -> dict[str, Any]:
    """The parameters of a method that a command's options choose, whatever the bundle recommends."""
    from svdaudio.config import resolve
    from svdaudio.methods import find_method, other_parameters

    found = find_method(method)
    resolved = resolve(
        found.config,
        config_file=parameters.config,
        overrides=parameters.texts,
        given=parameters.given(),
        bundle_settings=lambda name: session.bundle(name).settings,
        elsewhere=other_parameters(found),
    )
    return _chosen(resolved)


def _chosen(resolved: Resolved[Any]) -> dict[str, Any]:
    """Values that neither are defaults nor come from the bundle."""
    return {
        name: resolved.config.value(name)
        for name, source in resolved.sources.items()
        if source != "default" and not source.startswith("bundle ")
    }


def _add_schedule(
    context: typer.Context,
    command: Command,
    method: str | None,
    paths: list[Path],
    parameters: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    from svdaudio.flows import schedules

    when: When = context.obj
    named = [] if method in (None, "manipulate", command) else ["--method", method]
    title = " ".join([command, *(shlex.quote(short_path(path)) for path in paths), *named])
    made = schedules.add(
        schedules.Plan(
            name=when.name, command=command, parameters=parameters, cron=when.cron, timezone=when.timezone, title=title
        )
    )
    _print_schedule(made, "added", as_json=as_json)


def _print_schedule(schedule: Schedule, done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(_as_json(schedule))
        return
    state = "paused" if schedule.paused else f'"{schedule.cron}" {schedule.timezone}'
    console().print(f"{done} {schedule.name}: {schedule.title}, {state}", markup=False)


def _as_json(schedule: Schedule) -> dict[str, Any]:
    return {
        **asdict(schedule),
        "parameters": dict(schedule.parameters),
        "next_at": None if schedule.next_at is None else schedule.next_at.isoformat(timespec="seconds"),
        "last": None if schedule.last is None else _started_json(schedule.last),
    }


def _started_json(started: Started) -> dict[str, Any]:
    return {
        "flow_run": started.id,
        "name": started.name,
        "state": started.state,
        "message": started.message,
        "started_at": None if started.started_at is None else started.started_at.isoformat(timespec="seconds"),
    }


def _next(schedule: Schedule) -> str:
    if schedule.paused:
        return "paused"
    return "not planned yet" if schedule.next_at is None else _local(schedule.next_at, schedule)


def _last(schedule: Schedule) -> str:
    last = schedule.last
    if last is None:
        return ""
    return last.state + ("" if last.started_at is None else f", {_local(last.started_at, schedule)}")


def _local(when: datetime, schedule: Schedule) -> str:
    """A time in the zone that the schedule's own times are in."""
    return f"{when.astimezone(ZoneInfo(schedule.timezone)):%Y-%m-%d %H:%M %Z}"


def _remark_workers(n_workers: int) -> None:
    if not n_workers:
        remark("no worker runs what is due; `svdaudio schedule worker` starts one")
