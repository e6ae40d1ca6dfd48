"""`svdaudio resident`: a process in the background that computes for commands."""

from __future__ import annotations

from typing import Annotated

import typer

from svdaudio.cli import options
from svdaudio.cli.help import Commands
from svdaudio.cli.output import console, print_json

app = Commands(
    help="A process in the background that holds imports and models, and computes the stages of commands: the first "
    "sound after a change comes sooner. SVDAUDIO_RESIDENT=off lets a command compute by itself."
)


@app.command()
def start(
    *,
    idle: Annotated[
        float, typer.Option("--idle", metavar="MINUTES", min=0.01, help="Minutes without a request, then it ends.")
    ] = 60.0,
    as_json: options.Json = False,
) -> None:
    """Start it, or find the running one. Commands that run stages use it from then on."""
    from svdaudio.resident import control

    resident = control.start(idle_s=60 * idle)
    _print({"running": True, "pid": resident.pid, "log": resident.log}, f"process {resident.pid}", as_json=as_json)


@app.command()
def stop(*, as_json: options.Json = False) -> None:
    """Stop it. A run that it computes goes on in its command."""
    from svdaudio.resident import control

    stopped = control.stop()
    text = "no resident process was running" if stopped is None else f"stopped process {stopped.pid}"
    _print({"running": False, "stopped": None if stopped is None else stopped.pid}, text, as_json=as_json)


@app.command()
def status(*, as_json: options.Json = False) -> None:
    """Show whether it runs, and whether it would serve this command."""
    from svdaudio.resident.place import find, identity

    resident = find()
    if resident is None:
        _print({"running": False}, "none runs; `svdaudio resident start` starts one", as_json=as_json)
        return
    serves = resident.identity == identity()
    text = f"process {resident.pid}, log {resident.log}"
    text += "" if serves else "; it is of another version or environment: `svdaudio resident stop`, then start"
    _print({"running": True, "pid": resident.pid, "serves": serves, "log": resident.log}, text, as_json=as_json)


def _print(facts: dict[str, object], text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(facts)
    else:
        console().print(text, markup=False)
