"""`svdaudio doctor`: checking the installation."""

from __future__ import annotations

import typer

from svdaudio.cli import options
from svdaudio.cli.output import console, print_json, quiet_stdout, table


def doctor(*, bundle: options.Bundle = None, store: options.Store = None, as_json: options.Json = False) -> None:
    """Check the installation: packages, machine, checkpoints, store, leftovers. Exit code 1 if something is broken."""
    from rich.text import Text

    from svdaudio.doctor import examine
    from svdaudio.places import default_store

    with quiet_stdout():
        checks = examine(store=store if store is not None else default_store(), bundle=bundle or "mini")
    broken = [check for check in checks if check.state == "broken"]
    if as_json:
        print_json(
            {
                "ok": not broken,
                "checks": [{"name": c.name, "state": c.state, "found": c.found, "fix": c.fix} for c in checks],
            }
        )
    else:
        styles = {"ok": "green", "note": "yellow", "broken": "bold red"}
        rows = [
            [
                Text(check.state, style=styles[check.state]),
                check.name,
                check.found + (f". {check.fix}" if check.fix else ""),
            ]
            for check in checks
        ]
        screen = console()
        screen.print(table(["", "check", "result"], rows))
        screen.print(f"\n{len(broken)} of {len(checks)} checks failed" if broken else "\nnothing is broken")
    if broken:
        raise typer.Exit(1)
