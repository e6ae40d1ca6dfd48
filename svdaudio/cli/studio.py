"""`svdaudio studio`: the studio, a web page served by this machine."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from svdaudio.cli import options, sessions
from svdaudio.cli.grouped import grouped
from svdaudio.cli.output import console

VARIABLE = "SVDAUDIO_STUDIO_PASSWORD"
"""Environment variable with the password."""


@grouped
def studio(
    *,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="The port (default a free one).")] = None,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help=f"Address to listen on; if it is not local, it needs a password in {VARIABLE}.",
        ),
    ] = "127.0.0.1",
    bundle: options.Bundle = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", min=1, help="Number of jobs at a time; with several, each is a process with its own models."
        ),
    ] = 1,
    store: options.Store = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
) -> None:
    """Open a page to click on objects, move faders and listen; a change runs only the stages that depend on it.

    Ctrl-C stops it. Its runs are in the store, like those of `run` and `mix`.
    """
    import webbrowser

    from svdaudio.studio.access import access_for
    from svdaudio.studio.serve import open_studio, serve

    access = access_for(host, os.environ.get(VARIABLE))
    opened = open_studio(sessions.open_session(store), access, bundle=bundle or "mini", n_workers=workers)

    opened.start_workers()
    if opened.bundle == "mini":  # other bundles may take minutes without a GPU
        opened.warm_up()

    def ready(url: str) -> None:
        console().print(f"The studio is at {url} (Ctrl-C stops it)", markup=False)
        if not no_browser:
            webbrowser.open(url)

    serve(opened, host=host, port=port or 0, ready=ready)
