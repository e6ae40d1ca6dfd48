"""`svdaudio schedule`: commands that a Prefect server starts on a schedule and a worker runs."""

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
from svdaudio.cli.output import console, print_json, print_note, print_outcome, short_path, table
from svdaudio.errors import InputError

if TYPE_CHECKING:
    from svdaudio.config import Resolved
    from svdaudio.flows.schedules import Command, Schedule, Started
    from svdaudio.session import Session


class AfterName(GroupedCommands):
    """A group with a name and options before the command: `add NAME --cron "…" batch pairs.csv`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Turn the name into an option, because an argument of a group would end its options."""
        named = bool(args) and not args[0].startswith("-")
        return super().parse_args(ctx, ["--name", *args] if named else args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Include the name in the usage line."""
        return ["NAME", *super().collect_usage_pieces(ctx)]


app = Commands(help="Run batches, runs and `gc` on a schedule, through a Prefect server.")
add = Commands(help='Run a command on a schedule: add nightly --cron "0 3 * * *" batch pairs.csv.', cls=AfterName)
add_evaluate = Commands(help="Measure the method on held-out edits.")
app.add_typer(add, name="add")
add.add_typer(add_evaluate, name="evaluate")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the schedule.")]


@dataclass(frozen=True, kw_only=True)
class Output:
    """The store of a schedule's runs, and whether the schedule is printed as JSON."""

    store: options.Store = None
    as_json: options.Json = False


@dataclass(frozen=True, kw_only=True)
class When:
    """The options of `add` before the command: the name and the times of the schedule."""

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
        typer.Option("--cron", metavar="TIMES", help='Minute, hour, day, month and weekday, such as "30 3 * * 1-5".'),
    ] = None,
    timezone: Annotated[
        str, typer.Option("--timezone", metavar="ZONE", help="Time zone of TIMES, such as Europe/Berlin.")
    ] = "UTC",
) -> None:
    """Run a command on a schedule.

    Give the name and the times of the schedule, then the command as usual: svdaudio schedule add nightly
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
        Path, typer.Argument(metavar="PAIRS", help="As for `svdaudio batch`; read again at every scheduled time.")
    ],
    *,
    parameters: options.SoundParameters,
    method: options.MethodName = "manipulate",
    no_baselines: options.NoBaselines = False,
    pictures: options.Pictures = False,
    on_error: options.OnErrorOption = "continue",
    output: Output,
) -> None:
    """Run many pairs, like `svdaudio batch`. Every line is checked now, and again at every scheduled time."""
    from svdaudio.cli.batch import prepare
    from svdaudio.methods import find_method
    from svdaudio.studies.pairs import Common, read_rows

    session = sessions.open_session(output.store)
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
    _add_schedule(context, "batch", method, [pairs], flow_parameters, as_json=output.as_json)


@add.command("run")
@grouped
def add_run(
    context: typer.Context, files: options.Files, *, parameters: options.EditParameters, output: Output
) -> None:
    """Run a method once, like `svdaudio run`."""
    _add_run(context, "run", parameters.method, files, parameters, output)


@add.command("baseline")
@grouped
def add_baseline(
    context: typer.Context, image: options.Image, *, parameters: options.SoundParameters, output: Output
) -> None:
    """Generate the sound of one picture by plain SSV2A, like `svdaudio baseline`."""
    _add_run(context, "baseline", "baseline", [image], parameters, output)


@add_evaluate.callback()
def _evaluate() -> None:  # pyright: ignore[reportUnusedFunction] - without it, `evaluate` itself would be `edits`
    """Measure the method on held-out edits."""


@add_evaluate.command("edits")
@grouped
def add_edits(
    context: typer.Context,
    *,
    only: evaluate.Only = None,
    unscaled: evaluate.Unscaled = False,
    scenes: evaluate.Seed = None,
    out: options.StudyFolder = None,
    parameters: options.SoundParameters,
    output: Output,
) -> None:
    """Measure the 72 ordered edits of the farm, like `svdaudio evaluate edits`."""
    from svdaudio.studies.edit_study import chosen_edits

    session = sessions.open_session(output.store)
    chosen_edits(only)
    flow_parameters = {
        "settings": _settings(session, "manipulate", parameters),
        "store": session.store.location,
        "only": only or None,
        "unscaled": unscaled,
        "out": None if out is None else str(out.absolute()),
        **({} if scenes is None else {"scenes": scenes}),
    }
    _add_schedule(context, "evaluate edits", None, [], flow_parameters, as_json=output.as_json)


@add.command("gc")
@grouped
def add_gc(
    context: typer.Context,
    *,
    keep_days: cleaning.KeepDays = None,
    max_size: cleaning.MaxSize = None,
    grace_hours: cleaning.GraceHours = cleaning.GRACE_HOURS,
    output: Output,
) -> None:
    """Free space in a store, like `svdaudio gc`."""
    policy = cleaning.policy_of(keep_days, max_size, grace_hours)
    limits = {"keep_days": policy.keep_days, "max_bytes": policy.max_bytes, "grace_hours": grace_hours}
    location = sessions.open_store(output.store).location
    _add_schedule(context, "gc", None, [], {"store": location, **limits}, as_json=output.as_json)


@app.command("list")
def list_schedules(*, as_json: options.Json = False) -> None:
    """List all schedules with the next start and the last result of each."""
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
        screen.print("no schedules yet; `svdaudio schedule add --help` shows how to add one", markup=False)
        return
    rows = [[one.name, one.title, f"{one.cron} {one.timezone}", _next(one), _last(one)] for one in board.schedules]
    screen.print(table(["name", "what", "when", "next", "last"], rows))
    _note_missing_workers(board.n_workers)


@app.command()
def pause(name: Name, *, as_json: options.Json = False) -> None:
    """Start no more runs on the schedule until `resume`. Runs that have started continue."""
    from svdaudio.flows import schedules

    _print_schedule(schedules.pause(name), "paused", as_json=as_json)


@app.command()
def resume(name: Name, *, as_json: options.Json = False) -> None:
    """Start runs on the schedule again."""
    from svdaudio.flows import schedules

    _print_schedule(schedules.resume(name), "resumed", as_json=as_json)


@app.command("run-now")
def run_now(
    name: Name,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the run to end; exit code 1 unless it succeeds.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Run a schedule's command once, now."""
    from svdaudio.flows import schedules

    started, n_workers = schedules.run_now(name)
    _note_missing_workers(n_workers)
    if wait:
        started = schedules.wait(started, lambda now: print_note(f"{now.name}: {now.state.lower()}"))
    if as_json:
        print_json({"schedule": name, **_started_json(started)})
    else:
        ending = f": {started.state}" + (f". {started.message}" if started.message else "") if wait else ""
        console().print(f"flow run {started.name} of {name}{ending}", markup=False)
    if wait and not started.succeeded:
        raise typer.Exit(1)


@app.command()
def remove(name: Name, *, as_json: options.Json = False) -> None:
    """Remove a schedule and its planned runs. Past runs and their results stay."""
    from svdaudio.flows import schedules

    schedules.remove(name)
    print_outcome({"removed": name}, f"removed {name}", as_json=as_json)


@app.command()
def worker(
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Maximum number of simultaneous runs.")] = 1,
) -> None:
    """Run what is due until Ctrl-C, by default one at a time, because models are large."""
    from svdaudio.flows import schedules

    environment = schedules.worker_environment(os.environ)
    schedules.ensure_pool()
    command = schedules.worker_command(limit=limit)
    sys.stdout.flush()
    os.execve(command[0], command, environment)  # noqa: S606 - Prefect's command replaces this process


def _add_run(
    context: typer.Context,
    command: Command,
    method: str,
    files: list[Path],
    parameters: options.SoundParameters,
    output: Output,
) -> None:
    """Check the request of a run, and schedule it."""
    session = sessions.open_session(output.store)
    request = sessions.request_of(session, method, files, parameters)
    variant = getattr(parameters, "variant", None)
    flow_parameters = {
        "method": method,
        "files": {name: str(path.absolute()) for name, path in request.files.items()},
        "settings": _chosen(request.resolved),
        "targets": None if variant is None else list(request.targets),
        "store": session.store.location,
    }
    _add_schedule(context, command, method, files, flow_parameters, as_json=output.as_json)


def _settings(session: Session, method: str, parameters: options.Parameters) -> dict[str, Any]:
    """The parameters of a method that a command's options set."""
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
    """Values that are not defaults of the method or the bundle."""
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
    """A time in the time zone of the schedule."""
    return f"{when.astimezone(ZoneInfo(schedule.timezone)):%Y-%m-%d %H:%M %Z}"


def _note_missing_workers(n_workers: int) -> None:
    if not n_workers:
        print_note("no worker is running; `svdaudio schedule worker` starts one")
