"""`svdaudio server`: a Prefect server on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from svdaudio.cli import options
from svdaudio.cli.help import Commands
from svdaudio.cli.output import console, print_json

app = Commands(help="A Prefect server on this machine, which shows runs and is used by `--prefect`.")


@app.command()
def start(
    *,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="The port (default a free one).", show_default=False)
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Start a server, or find the running one."""
    from flows import server

    running = server.start(port=port)
    if as_json:
        print_json(
            {"running": True, "url": running.url, "api_url": running.api_url, "pid": running.pid, "log": running.log}
        )
        return
    console().print(
        f"Prefect at {running.url}\nRuns use it with --prefect, or with PREFECT_API_URL={running.api_url}",
        markup=False,
    )


@app.command()
def stop(*, as_json: options.Json = False) -> None:
    """Stop the server that was started with `start`."""
    from flows import server

    stopped = server.stop()
    if as_json:
        print_json({"running": False, "stopped": None if stopped is None else stopped.url})
        return
    console().print(
        "no server was running" if stopped is None else f"stopped the server at {stopped.url}", markup=False
    )


@app.command()
def status(*, as_json: options.Json = False) -> None:
    """Show whether a server is running, and its address."""
    from flows import server

    running = server.status()
    if as_json:
        known = (
            None
            if running is None
            else {"url": running.url, "api_url": running.api_url, "pid": running.pid, "log": running.log}
        )
        print_json({"running": running is not None, **(known or {})})
        return
    if running is None:
        console().print("no server is running; `svdaudio server start` starts one", markup=False)
    else:
        console().print(f"Prefect at {running.url} (process {running.pid}, log {running.log})", markup=False)
