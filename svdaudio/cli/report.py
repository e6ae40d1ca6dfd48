"""`svdaudio report`: runs as one HTML page."""

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
        typer.Argument(metavar="RUN...", help="Runs, each by its id, the start or end of its id, or 'latest'."),
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE.html", parser=options.user_path,
            help="The file to write (default report.html in the folder of the first run's files).",
        ),
    ] = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:  # fmt: skip
    """Write one HTML file that opens offline: pictures, sound players, verdict, scores, stages, parameters.

    Several runs are shown side by side, with their differences first. Nothing is computed.
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
