"""`svdaudio report`: runs as a page to look at, listen to and send."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from svdaudio.cli import options, sessions
from svdaudio.cli.grouped import grouped
from svdaudio.cli.output import print_files, print_json


@grouped
def report(
    names: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Runs: an id, its start or end, or 'latest'.", show_default=False),
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE.html", parser=options.user_path, show_default=False,
            help="The file (default report.html in the folder of the first run's files).",
        ),
    ] = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:  # fmt: skip
    """A report as one HTML file that opens offline: pictures, players, verdict, scores, stages, parameters.

    With several runs, one column for each, and what differs first. Nothing is computed.
    """
    sessions.check_out(out, kind=".html")
    session = sessions.open_session(store)
    runs = [session.load(name) for name in dict.fromkeys(names)]
    with sessions.quiet_stdout():
        page = session.write_page(runs, out)
    if as_json:
        print_json({"runs": [run.id for run in runs], "report": str(page.absolute())})
    else:
        print_files({"report": page})
