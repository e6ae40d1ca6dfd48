"""`svdaudio server`: a Prefect server on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdaudio.cli import options
from svdaudio.cli.help import Commands
from svdaudio.cli.output import print_outcome

if TYPE_CHECKING:
    from svdaudio.flows.server import Server

app = Commands(help="Control a Prefect server on this machine, which shows runs and which `--prefect` uses.")


@app.command()
def start(
    *,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="The port (default a free one).")] = None,
    as_json: options.Json = False,
) -> None:
    """Start a server, or find the running one."""
    from svdaudio.flows import server

    running = server.start(port=port)
    text = f"Prefect at {running.url}\nRuns use it with --prefect, or with PREFECT_API_URL={running.api_url}"
    print_outcome({"running": True, **_facts(running)}, text, as_json=as_json)


@app.command()
def stop(*, as_json: options.Json = False) -> None:
    """Stop the server that was started with `start`."""
    from svdaudio.flows import server

    stopped = server.stop()
    text = "no server was running" if stopped is None else f"stopped the server at {stopped.url}"
    print_outcome({"running": False, "stopped": None if stopped is None else stopped.url}, text, as_json=as_json)


@app.command()
def status(*, as_json: options.Json = False) -> None:
    """Show whether a server is running, and its address."""
    from svdaudio.flows import server

    running = server.status()
    if running is None:
        print_outcome({"running": False}, "no server is running; `svdaudio server start` starts one", as_json=as_json)
    else:
        text = f"Prefect at {running.url} (process {running.pid}, log {running.log})"
        print_outcome({"running": True, **_facts(running)}, text, as_json=as_json)


def _facts(running: Server) -> dict[str, Any]:
    return {"url": running.url, "api_url": running.api_url, "pid": running.pid, "log": running.log}
