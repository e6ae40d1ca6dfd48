"""`svdaudio schedule`: what a Prefect server starts by the clock, and a worker carries out."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdaudio.cli import batch, evaluate, options
from svdaudio.cli import gc as cleaning
from svdaudio.cli.help import GroupedCommands
from svdaudio.cli.output import console, print_json, remark, short_path, table
from svdaudio.errors import InputError

if TYPE_CHECKING:
    from flows.schedules import Command, Schedule, Started


class AfterName(GroupedCommands):
    """Commands that follow a name and options of the group: `add NAME --cron "…" batch pairs.csv`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the name first: a group's own words end its options otherwise."""
        named = bool(args) and not args[0].startswith("-")
        return super().parse_args(ctx, ["--name", *args] if named else args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Write the usage as it is typed."""
        return ["NAME", *super().collect_usage_pieces(ctx)]


app = typer.Typer(help="Batches, runs and cleaning by the clock, through a Prefect server.", cls=GroupedCommands)
add = typer.Typer(
    help='Have a command carried out by the clock: add nightly --cron "0 3 * * *" batch pairs.csv.',
    cls=AfterName,
)
add_evaluate = typer.Typer(help="Measure the method on held-out edits.", cls=GroupedCommands)
app.add_typer(add, name="add")
add.add_typer(add_evaluate, name="evaluate")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the schedule.", show_default=False)]


@dataclass(frozen=True, kw_only=True)
class When:
    """What `add` was told before the command: how the schedule is called, and its times."""

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
    """Have a command carried out by the clock.

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
def add_batch(
    context: typer.Context,
    pairs: Annotated[
        Path, typer.Argument(metavar="PAIRS", show_default=False, help="As for `svdaudio batch`; read at every run.")
    ],
    *,
    overrides: options.Set = None,
    seed: options.Seed = None,
    bundle: options.Bundle = None,
    no_baselines: options.NoBaselines = False,
    pictures: options.Pictures = False,
    on_error: options.OnErrorOption = "continue",
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Many pairs, as `svdaudio batch`. Every line is checked now, and again at every run."""
    from svdaudio.studies.pairs import Common, read_pairs

    given = _given({"seed": seed, "bundle": bundle})
    batch.prepared_pairs(read_pairs(pairs), Common(overrides=overrides or (), given=given))
    _make(
        context,
        "batch",
        [pairs],
        {
            "pairs": str(pairs.absolute()),
            "settings": _settings(given, overrides),
            "store": _location(store),
            "baselines": not no_baselines,
            "pictures": pictures,
            "on_error": on_error,
        },
        as_json=as_json,
    )


@add.command("run")
def add_run(
    context: typer.Context,
    original: options.Original,
    edited: options.Edited,
    *,
    remove: options.Remove = None,
    add: options.Add = None,
    overrides: options.Set = None,
    seed: options.Seed = None,
    bundle: options.Bundle = None,
    no_baselines: options.NoBaselines = False,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """The method on one pair, as `svdaudio run`."""
    from svdaudio.cli.sessions import resolve_config
    from svdaudio.engine.plan import check_pictures, manipulate_request

    given = _given({"remove": remove, "add": add, "seed": seed, "bundle": bundle})
    resolved, checkpoints = resolve_config(None, overrides, given)
    check_pictures(manipulate_request(original, edited, resolved.config, checkpoints))
    _make(
        context,
        "run",
        [original, edited],
        {
            "original": str(original.absolute()),
            "edited": str(edited.absolute()),
            "settings": _settings(given, overrides),
            "store": _location(store),
            "baselines": not no_baselines,
        },
        as_json=as_json,
    )


@add.command("baseline")
def add_baseline(
    context: typer.Context,
    image: options.Image,
    *,
    overrides: options.Set = None,
    seed: options.Seed = None,
    bundle: options.Bundle = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Plain SSV2A of one picture, as `svdaudio baseline`."""
    from svdaudio.cli.sessions import resolve_config
    from svdaudio.engine.plan import baseline_request, check_pictures

    given = _given({"seed": seed, "bundle": bundle})
    resolved, checkpoints = resolve_config(None, overrides, given)
    check_pictures(baseline_request(image, resolved.config, checkpoints))
    _make(
        context,
        "baseline",
        [image],
        {"image": str(image.absolute()), "settings": _settings(given, overrides), "store": _location(store)},
        as_json=as_json,
    )


@add_evaluate.callback()
def _evaluate() -> None:  # pyright: ignore[reportUnusedFunction] - typer calls it, and keeps `edits` a command of its own
    """Measure the method on held-out edits."""


@add_evaluate.command("edits")
def add_edits(
    context: typer.Context,
    *,
    only: evaluate.Only = None,
    unscaled: evaluate.Unscaled = False,
    scenes: evaluate.Seed = None,
    out: evaluate.Folder = None,
    overrides: options.Set = None,
    seed: options.Seed = None,
    bundle: options.Bundle = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """The 72 ordered edits of the farm, as `svdaudio evaluate edits`."""
    from svdaudio.cli.sessions import resolve_config
    from svdaudio.studies.edit_study import chosen_edits

    given = _given({"seed": seed, "bundle": bundle})
    _ = chosen_edits(only), resolve_config(None, overrides, given)
    scene_seed = {} if scenes is None else {"scenes": scenes}
    _make(
        context,
        "evaluate edits",
        [],
        {
            "settings": _settings(given, overrides),
            "store": _location(store),
            "only": only or None,
            "unscaled": unscaled,
            "out": None if out is None else str(out.absolute()),
            **scene_seed,
        },
        as_json=as_json,
    )


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
    _make(context, "gc", [], {"store": _location(store), **limits}, as_json=as_json)


@app.command("list")
def list_schedules(*, as_json: options.Json = False) -> None:
    """What there is, when it is next begun, and how it ended last."""
    from flows import schedules

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
        screen.print("there are no schedules; `svdaudio schedule add --help` says how to make one", markup=False)
        return
    rows = [[one.name, one.title, f"{one.cron} {one.timezone}", _next(one), _last(one.last)] for one in board.schedules]
    screen.print(table(["name", "what", "when", "next", "last"], rows))
    _remark_workers(board.n_workers)


@app.command()
def pause(name: Name, *, as_json: options.Json = False) -> None:
    """Begin nothing more by the clock, until `resume`. What has begun goes on."""
    from flows import schedules

    _told(schedules.pause(name), "paused", as_json=as_json)


@app.command()
def resume(name: Name, *, as_json: options.Json = False) -> None:
    """Go by the clock again."""
    from flows import schedules

    _told(schedules.resume(name), "resumed", as_json=as_json)


@app.command("run-now")
def run_now(
    name: Name,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it has ended; leaves 1 unless it ended well.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Have it carried out once, now, whatever the clock says."""
    from flows import schedules

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
    """Forget a schedule, and what it has not begun. Its runs and what they made stay."""
    from flows import schedules

    schedules.remove(name)
    if as_json:
        print_json({"removed": name})
    else:
        console().print(f"removed {name}", markup=False)


@app.command()
def worker(
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most that is carried out at a time.")] = 1,
) -> None:
    """Carry out what is due, until Ctrl-C. One at a time unless told otherwise: models are large."""
    from flows import schedules

    environment = schedules.worker_environment(os.environ)
    schedules.ensure_pool()
    command = schedules.worker_command(limit=limit)
    sys.stdout.flush()
    os.execve(command[0], command, environment)  # noqa: S606 - Prefect's own command takes this process's place


def _make(
    context: typer.Context, command: Command, paths: list[Path], parameters: dict[str, Any], *, as_json: bool
) -> None:
    from flows import schedules

    when: When = context.obj
    title = " ".join([command, *(shlex.quote(short_path(path)) for path in paths)])
    made = schedules.add(
        schedules.Plan(
            name=when.name, command=command, parameters=parameters, cron=when.cron, timezone=when.timezone, title=title
        )
    )
    _told(made, "added", as_json=as_json)


def _location(store: str | None) -> str:
    """The store as a worker finds it, whatever folder it runs in."""
    from svdaudio.cli.sessions import open_store

    return open_store(store).location


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None and value != []}


def _settings(given: dict[str, Any], overrides: list[str] | None) -> dict[str, Any]:
    from svdaudio.config import parse_override

    return {**given, **dict(parse_override(text) for text in overrides or ())}


def _told(schedule: Schedule, done: str, *, as_json: bool) -> None:
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
    return "soon known" if schedule.next_at is None else f"{schedule.next_at.astimezone():%Y-%m-%d %H:%M %Z}"


def _last(last: Started | None) -> str:
    if last is None:
        return ""
    began = "" if last.started_at is None else f", {last.started_at.astimezone():%Y-%m-%d %H:%M %Z}"
    return f"{last.state}{began}"


def _remark_workers(n_workers: int) -> None:
    if not n_workers:
        remark("no worker is there to carry anything out; `svdaudio schedule worker` is one")
