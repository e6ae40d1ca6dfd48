"""`svdaudio resident`: a background process that keeps models loaded for other commands."""

from __future__ import annotations

from typing import Annotated

import typer

from svdaudio.cli import options
from svdaudio.cli.help import Commands
from svdaudio.cli.output import print_outcome

app = Commands(
    help="Control a background process that keeps models loaded and computes stages for other commands, so that the "
    "first sound comes sooner. SVDAUDIO_RESIDENT=off makes a command compute by itself."
)


@app.command()
def start(
    *,
    idle: Annotated[
        float, typer.Option("--idle", metavar="MINUTES", min=0.01, help="Stop after this many minutes without work.")
    ] = 60.0,
    as_json: options.Json = False,
) -> None:
    """Start the process, or find the running one. Commands that compute stages use it from then on."""
    from svdaudio.resident import control

    resident = control.start(idle_s=60 * idle)
    print_outcome(
        {"running": True, "pid": resident.pid, "log": resident.log}, f"process {resident.pid}", as_json=as_json
    )


@app.command()
def stop(*, as_json: options.Json = False) -> None:
    """Stop the process. Runs that it computes continue in their own commands."""
    from svdaudio.resident import control

    stopped = control.stop()
    text = "no resident process was running" if stopped is None else f"stopped process {stopped.pid}"
    print_outcome({"running": False, "stopped": None if stopped is None else stopped.pid}, text, as_json=as_json)


@app.command()
def status(*, as_json: options.Json = False) -> None:
    """Show whether the process is running, and whether commands of this version and environment can use it."""
    from svdaudio.resident.place import find, identity

    resident = find()
    if resident is None:
        text = "no resident process is running; `svdaudio resident start` starts one"
        print_outcome({"running": False}, text, as_json=as_json)
        return
    serves = resident.identity == identity()
    text = f"process {resident.pid}, log {resident.log}"
    text += (
        "" if serves else "; it has another version or environment: restart it with `svdaudio resident stop`, `start`"
    )
    print_outcome({"running": True, "pid": resident.pid, "serves": serves, "log": resident.log}, text, as_json=as_json)
