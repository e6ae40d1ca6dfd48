"""`svdaudio checkpoints`: which weights there are, and whether they are what they should be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdaudio.cli import options
from svdaudio.cli.help import GroupedCommands
from svdaudio.cli.output import console, print_json, quiet_stdout, short_path, table

if TYPE_CHECKING:
    from svdaudio.bundle import Bundle

app = typer.Typer(help="Which weights there are, and whether they are what they should be.", cls=GroupedCommands)

BundleName = Annotated[str, typer.Argument(metavar="[BUNDLE]", help="Which bundle.")]


@app.command("list")
def list_(name: BundleName = "mini", *, as_json: options.Json = False) -> None:
    """The models of a bundle, with files and sizes, and whether their digests are right."""
    bundle, rows = _examined(name, load=False)
    _print(bundle, rows, as_json=as_json)


@app.command()
def verify(name: BundleName = "mini", *, as_json: options.Json = False) -> None:
    """Check every digest, and load every model. Leaves 3 if one is not what it should be."""
    bundle, rows = _examined(name, load=True)
    _print(bundle, rows, as_json=as_json)
    if any(row["error"] for row in rows):
        raise typer.Exit(3)


def _examined(name: str, *, load: bool) -> tuple[Bundle, list[dict[str, Any]]]:
    from svdaudio.bundle import Models
    from svdaudio.cli.work import open_bundle
    from svdaudio.errors import SvdAudioError

    bundle = open_bundle(name)
    models = Models(bundle, device="cpu") if load else None
    rows: list[dict[str, Any]] = []
    for role in bundle.roles:
        entry = bundle.entry(role)
        error = None
        try:
            with quiet_stdout():
                bundle.check(role)
                if models is not None:
                    models[role]
        except SvdAudioError as fault:
            error = fault.line()
        except Exception as fault:  # noqa: BLE001 - whatever keeps a model from loading is what is looked for
            error = " ".join(f"{type(fault).__name__}: {fault}".split())
        row = {"role": role, "file": str(entry.path), "bytes": entry.n_bytes, "sha256": entry.sha256, "error": error}
        rows.append(row)
    return bundle, rows


def _print(bundle: Bundle, rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json({"bundle": bundle.name, "title": bundle.title, "models": rows})
        return
    screen = console()
    screen.print(f"[bold]{bundle.name}[/bold]: {bundle.title}")
    shown = [
        [
            row["role"],
            short_path(Path(row["file"])),
            f"{row['bytes'] / 1e6:.1f} MB",
            row["sha256"][:12],
            row["error"] or "ok",
        ]
        for row in rows
    ]
    screen.print(table(["role", "file", "size", "sha256", "state"], shown, right=[2]))
    screen.print(f"{sum(row['bytes'] for row in rows) / 1e6:.1f} MB in all")
