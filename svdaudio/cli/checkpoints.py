"""`svdaudio checkpoints`: listing, installing and verifying model weights."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdaudio.cli import options
from svdaudio.cli.help import Commands
from svdaudio.cli.output import console, error_console, print_json, print_note, quiet_stdout, short_path, table

if TYPE_CHECKING:
    import torch

    from svdaudio.checkpoints.bundle import Bundle
    from svdaudio.checkpoints.install import Installed

app = Commands(help="List, install and verify model weights.")

BundleName = Annotated[str | None, typer.Argument(metavar="BUNDLE", help="The bundle (default all).")]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust", help="Accept files whose digest is not published or differs from the published one, and pin them."
    ),
]
Role = Annotated[
    str | None,
    typer.Option(
        "--role", metavar="ROLE",
        help="Fill this role instead of the usual ones, such as 'judge', a second tagger for `svdaudio evaluate`.",
    ),
]  # fmt: skip


@app.command("list")
def list_(name: BundleName = None, *, as_json: options.Json = False) -> None:
    """List the models of one bundle or of all, with files, sizes and digests, and the published models."""
    bundles = [(bundle, _examined(bundle)) for bundle in _bundles(name)]
    if name is not None:
        bundle, rows = bundles[0]
        _print_bundle(bundle, rows, as_json=as_json)
        return
    published = _published()
    if as_json:
        print_json({"bundles": [_bundle_json(bundle, rows) for bundle, rows in bundles], "published": published})
        return
    for bundle, rows in bundles:
        _print_bundle(bundle, rows, as_json=False)
        console().print()
    _print_published(published)


@app.command()
def verify(
    name: BundleName = None,
    *,
    device: Annotated[
        str, typer.Option("--device", metavar="NAME", help="Device for the steps: auto, cpu, cuda or cuda:N.")
    ] = "auto",
    as_json: options.Json = False,
) -> None:
    """Check every digest, load every model strictly, and run a small step of each. Exit code 3 if a model fails."""
    from svdaudio.checkpoints.models import find_device

    where = find_device(device)
    bundles = [(bundle, _examined(bundle, try_on=where)) for bundle in _bundles(name)]
    if as_json:
        found = [_bundle_json(bundle, rows) for bundle, rows in bundles]
        print_json(found[0] if name is not None else {"bundles": found})
    else:
        for bundle, rows in bundles:
            _print_bundle(bundle, rows, as_json=False)
    if any(row["error"] for _, rows in bundles for row in rows):
        raise typer.Exit(3)


@app.command()
def fetch(
    name: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="Published models (default all recommended ones)."),
    ] = None,
    *,
    role: Role = None,
    trust: Trust = False,
    as_json: options.Json = False,
) -> None:
    """Download published weights into the bundle 'full'; interrupted downloads resume. Exit code 3 if one fails."""
    from svdaudio.checkpoints import install, registry
    from svdaudio.checkpoints.lacking import recommended
    from svdaudio.errors import CheckpointError, InputError

    if role is not None and not name:
        raise InputError("--role needs the name of a model", fix="add one, such as ast-audioset")
    folder = install.full_folder()
    wanted = [registry.find(one).filling(role) for one in name or ()] or recommended(folder)
    done: list[Installed] = []
    failed: dict[str, str] = {}
    for published in wanted:
        try:
            with _progress() as on_progress:
                done.append(install.fetch(published, folder, trust=trust, on_progress=on_progress))
        except CheckpointError as error:
            if len(name or ()) == 1:
                raise
            failed[published.name] = error.line()
            if not as_json:
                sys.stderr.write(f"error: {published.name}: {error.line()}\n")
        else:
            _print_installed(done[-1])
    if as_json:
        print_json({"fetched": [_installed_json(one) for one in done], "failed": failed})
    if failed:
        raise typer.Exit(3)


@app.command("import")
def import_(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Published files or folders, with their companion files in the same folder."
        ),
    ],
    *,
    name: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Name of the published model, if it is not recognised."),
    ] = None,
    role: Role = None,
    trust: Trust = False,
    as_json: options.Json = False,
) -> None:
    """Import published weights from disk into the bundle 'full': recognise, check, and link or copy them."""
    from svdaudio.checkpoints import install

    done: list[Installed] = []
    for path in files:
        if any(path.resolve().name == file.name for one in done for file in one.files):
            continue  # already imported as a companion of an earlier file
        with _progress() as on_progress:
            folder = install.full_folder()
            done.append(install.take(path, folder, name=name, role=role, trust=trust, on_progress=on_progress))
        _print_installed(done[-1])
    if as_json:
        print_json({"imported": [_installed_json(one) for one in done]})


def _bundles(name: str | None) -> list[Bundle]:
    """One bundle, or all bundles that have a description."""
    from svdaudio.checkpoints.bundle import FULL, Bundle
    from svdaudio.cli.sessions import open_bundle

    shipped_first = sorted(Bundle.names(), key=lambda one: (one == FULL, one))
    return [open_bundle(one) for one in ([name] if name is not None else shipped_first)]


def _examined(bundle: Bundle, *, try_on: torch.device | None = None) -> list[dict[str, Any]]:
    """The file and any error of each role that a bundle fills itself; with a device, also the result of a step."""
    from svdaudio.errors import SvdAudioError

    rows: list[dict[str, Any]] = []
    hashed: set[Path] = set()  # one file may fill several roles
    for role in bundle.own_roles:
        entry = bundle.entry(role)
        error = gave = None
        try:
            with quiet_stdout():
                if try_on is not None:
                    from svdaudio.checkpoints.verify import verify as try_out

                    gave = try_out(bundle, role, device=try_on, rehash=entry.path not in hashed)
                    hashed.add(entry.path)
                else:
                    bundle.check(role)
        except SvdAudioError as fault:
            error = fault.line()
        except Exception as fault:  # noqa: BLE001 - reports whatever keeps a model from loading
            error = " ".join(f"{type(fault).__name__}: {fault}".split())
        row = {"role": role, "file": str(entry.path), "format": entry.format, "bytes": entry.n_bytes}
        rows.append({**row, "sha256": entry.sha256, "gave": gave, "error": error})
    return rows


def _published() -> list[dict[str, Any]]:
    """Every published model, and how much of it is installed."""
    from svdaudio.checkpoints.install import full_folder, read_manifest
    from svdaudio.checkpoints.lacking import bytes_begun
    from svdaudio.checkpoints.registry import registry

    folder = full_folder()
    models = read_manifest(folder)["models"]
    rows: list[dict[str, Any]] = []
    for published in registry():
        fills = [role for role, model in models.items() if model.get("published") == published.name]
        rows.append(
            {
                "name": published.name,
                "title": published.title,
                "purpose": published.purpose,
                "roles": list(published.roles),
                "bytes": published.n_bytes,
                "licence": published.licence,
                "page": published.page,
                "pinned": published.is_pinned,
                "recommended": published.recommended,
                "fills": fills,
                "bytes_begun": bytes_begun(published, folder),
            }
        )
    return rows


def _print_bundle(bundle: Bundle, rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(_bundle_json(bundle, rows))
        return
    screen = console()
    screen.print(f"[bold]{bundle.name}[/bold]: {bundle.title}")
    shown = [
        [
            row["role"],
            short_path(Path(row["file"])),
            f"{row['bytes'] / 1e6:.1f} MB",
            row["sha256"][:12],
            row["error"] or (f"ok, output {row['gave']}" if row["gave"] else "ok"),
        ]
        for row in rows
    ]
    screen.print(table(["role", "file", "size", "sha256", "state"], shown, right=[2]))
    n_bytes = {row["file"]: row["bytes"] for row in rows}  # one file may fill several roles
    screen.print(f"{sum(n_bytes.values()) / 1e6:.1f} MB in total")
    if bundle.bases:
        screen.print(f"all other models are those of {bundle.bases[0]}")
    missing = _missing_roles(bundle)
    if missing:
        screen.print(f"still missing: {', '.join(missing)}")


def _missing_roles(bundle: Bundle) -> list[str]:
    from svdaudio.checkpoints.bundle import FULL

    return list(bundle.missing_roles) if bundle.name == FULL else []


def _print_published(rows: list[dict[str, Any]]) -> None:
    screen = console()
    screen.print("[bold]published[/bold]: `svdaudio checkpoints fetch NAME` or, for files on disk, `import FILE`")
    shown = [
        [
            row["name"],
            ", ".join(row["roles"]),
            f"{row['bytes'] / 1e6:.1f} MB" if row["bytes"] is not None else "unknown",
            "published" if row["pinned"] else "pinned on first use",
            row["licence"],
            _state(row),
        ]
        for row in rows
    ]
    screen.print(table(["name", "fills", "size", "sha256", "licence", "state"], shown, right=[2]))


def _state(row: dict[str, Any]) -> str:
    if row["fills"]:
        return "in full" if set(row["fills"]) == set(row["roles"]) else f"in full as {', '.join(row['fills'])}"
    if row["bytes_begun"]:
        return f"partial, {row['bytes_begun'] / 1e6:.0f} MB here"
    return "recommended" if row["recommended"] else "an alternative"


def _bundle_json(bundle: Bundle, rows: list[dict[str, Any]]) -> dict[str, Any]:
    base = {"base": bundle.bases[0]} if bundle.bases else {}
    return {"bundle": bundle.name, "title": bundle.title, **base, "models": rows, "missing": _missing_roles(bundle)}


def _installed_json(one: Installed) -> dict[str, Any]:
    return {
        "name": one.published.name,
        "fills": list(one.published.roles),
        "files": [str(path) for path in one.files],
        "new": one.n_fetched,
        "pinned_now": list(one.newly_pinned),
        "not_the_published": list(one.differing),
    }


def _print_installed(one: Installed) -> None:
    """Print the roles that a model fills on standard error, and a note for each newly pinned file."""
    from svdaudio.checkpoints.description import MANIFEST
    from svdaudio.checkpoints.install import full_folder

    sys.stderr.write(f"{one.published.name} fills {', '.join(one.published.roles)}\n")
    for place in one.newly_pinned:
        if place in one.differing:
            what = f"{place} is not the published file: its sha256 differs from the published one"
        else:
            what = f"the sha256 of {place} is not published"
        print_note(f"{what}. The installed file is pinned in {full_folder() / MANIFEST}")


@contextlib.contextmanager
def _progress() -> Generator[Callable[[str, int, int | None], None]]:
    """A progress bar on a terminal; elsewhere, a line for each tenth."""
    if not sys.stderr.isatty():
        printed: dict[str, int] = {}

        def print_line(file: str, n_done: int, n_total: int | None) -> None:
            tenth = 10 * n_done // n_total if n_total else n_done // 100_000_000
            if printed.get(file) != tenth:
                printed[file] = tenth
                of = f" of {n_total / 1e6:.0f}" if n_total else ""
                sys.stderr.write(f"{file}: {n_done / 1e6:.0f}{of} MB\n")
                sys.stderr.flush()

        yield print_line
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=error_console(), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def update(file: str, n_done: int, n_total: int | None) -> None:
            if file not in tasks:
                tasks[file] = bar.add_task(file, total=n_total)
            bar.update(tasks[file], completed=n_done, total=n_total)

        yield update
