"""`svdaudio cache`: listing the artifacts of a store, their sizes and provenance, and pinning them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from svdaudio.cli import options
from svdaudio.cli.help import Commands
from svdaudio.cli.output import N_DIGITS, bytes_text, console, print_json, print_note, print_outcome, table

if TYPE_CHECKING:
    from svdaudio.store import ArtifactRecord, Store
    from svdaudio.store.lineage import Why

app = Commands(help="Inspect the artifact store, and pin artifacts.")

Key = Annotated[str, typer.Argument(metavar="KEY", help="The key of an artifact, or its first digits.")]
Order = Literal["size", "used", "stage"]


@app.command("ls")
def list_artifacts(
    *,
    stage: Annotated[str | None, typer.Option("--stage", help="Only artifacts of this stage.")] = None,
    by: Annotated[Order, typer.Option("--by", help="Order: largest first, last used first, or by stage.")] = "used",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of artifacts.")] = 50,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """List artifacts: key, stage, size, last use, and whether it is pinned."""
    from svdaudio.cli.sessions import open_store

    where = open_store(store)
    pins = where.pins()
    listing = _listing(where, stage=stage, by=by, limit=limit)
    sizes = {footprint.key: footprint.n_bytes for footprint in where.footprints([one.key for one in listing.shown])}
    rows: list[dict[str, Any]] = [
        {
            "key": record.key,
            "stage": record.action.stage,
            "bytes": sizes[record.key],
            "used_at": _time(listing.uses[record.key]),
            "seconds": round(record.seconds, 3),
            "pinned": record.key in pins,
        }
        for record in listing.shown
        if record.key in sizes  # else it was removed in the meantime
    ]
    _note_newer(listing.newer)
    if as_json:
        print_json(
            {"store": where.location, "n_artifacts": listing.n, "newer": sorted(listing.newer), "artifacts": rows}
        )
        return
    shown = [
        [
            row["key"][:N_DIGITS],
            row["stage"],
            bytes_text(row["bytes"]),
            row["used_at"],
            f"{row['seconds']:.2f} s",
            "pinned" if row["pinned"] else "",
        ]
        for row in rows
    ]
    screen = console()
    screen.print(table(["key", "stage", "size", "last used", "computed in", ""], shown, right=[2, 4]))
    if listing.n > limit:
        screen.print(f"{listing.n - limit} more; raise --limit to see them", markup=False)


@dataclass(frozen=True, kw_only=True)
class _Listing:
    """The listed artifacts in order, and the total number."""

    shown: list[ArtifactRecord]
    n: int
    uses: dict[str, float]
    newer: list[str]
    """Keys whose records were written by a newer version of svdaudio; neither listed nor counted."""


def _listing(where: Store, *, stage: str | None, by: Order, limit: int) -> _Listing:
    """The first artifacts in an order. Reads no other records, if the order allows it."""
    from svdaudio.store.reading import read_records

    if by == "size":
        footprints = list(where.footprints())
        uses = {footprint.key: footprint.used_at_s for footprint in footprints}
        sizes = {footprint.key: footprint.n_bytes for footprint in footprints}
        keys = sorted(uses, key=lambda key: (sizes[key], int(uses[key]), key), reverse=True)
    else:
        uses = where.last_uses()
        keys = sorted(uses, key=lambda key: (int(uses[key]), key), reverse=True)
    shown: list[ArtifactRecord] = []
    newer: list[str] = []
    n_omitted = 0
    read_all = stage is not None or by == "stage"
    for found in chain(read_records(where, keys[:limit]), read_records(where, keys[limit:])):
        if found.record is not None and stage in (None, found.record.action.stage):
            shown.append(found.record)
        else:
            n_omitted += 1
            newer += [found.key] if found.is_newer else []
        if not read_all and len(shown) == limit:
            break
    if by == "stage":
        shown.sort(key=lambda record: record.action.stage)
    return _Listing(shown=shown[:limit], n=len(keys) - n_omitted, uses=uses, newer=newer)


def _note_newer(keys: list[str]) -> None:
    if keys:
        named = ", ".join(key[:N_DIGITS] for key in sorted(keys)[:3]) + (", …" if len(keys) > 3 else "")
        print_note(f"{len(keys)} artifacts were written by a newer version of svdaudio and are skipped: {named}")


@app.command("du")
def disk_use(*, store: options.Store = None, as_json: options.Json = False) -> None:
    """Show the disk use of each stage's artifacts, and of leftovers."""
    from svdaudio.cli.sessions import open_store
    from svdaudio.store.reading import read_records

    where = open_store(store)
    sizes = {footprint.key: footprint.n_bytes for footprint in where.footprints()}
    stages: dict[str, list[int]] = {}
    newer: list[str] = []
    for found in read_records(where, sizes):
        if found.record is not None:
            stages.setdefault(found.record.action.stage, []).append(sizes[found.key])
        elif found.is_newer:
            newer.append(found.key)
    _note_newer(newer)
    leftovers = [leftover.n_bytes for leftover in where.leftovers()]
    n_bytes = sum(sum(sizes) for sizes in stages.values())
    if as_json:
        print_json(
            {
                "store": where.location,
                "stages": {name: {"artifacts": len(s), "bytes": sum(s)} for name, s in sorted(stages.items())},
                "artifacts": sum(len(sizes) for sizes in stages.values()),
                "bytes": n_bytes,
                "newer": {"n": len(newer), "bytes": sum(sizes[key] for key in newer)},
                "leftovers": {"n": len(leftovers), "bytes": sum(leftovers)},
                "runs": len(where.runs.ids()),
                "pins": len(where.pins()),
            }
        )
        return
    rows = [
        [name, len(sizes), bytes_text(sum(sizes)), bytes_text(sum(sizes) / len(sizes))]
        for name, sizes in sorted(stages.items(), key=lambda item: -sum(item[1]))
    ]
    screen = console()
    screen.print(table(["stage", "artifacts", "size", "each"], rows, right=[1, 2, 3]))
    screen.print(
        f"\n{bytes_text(n_bytes)} in {sum(len(s) for s in stages.values())} artifacts of {len(where.runs.ids())} runs, "
        f"{len(where.pins())} pinned; {len(leftovers)} leftovers ({bytes_text(sum(leftovers))})",
        markup=False,
    )


@app.command()
def why(key: Key, *, store: options.Store = None, as_json: options.Json = False) -> None:
    """Show why an artifact exists: the runs that use it, its inputs, and the artifacts computed from it."""
    from svdaudio.cli.sessions import open_store
    from svdaudio.store.lineage import Lineage
    from svdaudio.store.lookup import full_key

    where = open_store(store)
    full = full_key(where, key)
    found = Lineage(where).why(full)
    pinned = full in where.pins()
    if as_json:
        print_json(_why_as_json(found, pinned=pinned))
        return
    record, screen = found.record, console()
    screen.print(
        f"[bold]{record.action.stage}[/bold] (version {record.action.version}), {record.key}"
        f"{', [bold]pinned[/bold]' if pinned else ''}"
    )
    screen.print(
        f"computed in {record.seconds:.2f} s at {record.created_at} on {record.host}, svdaudio {record.code_version}",
        markup=False,
    )
    for text in record.notes:
        screen.print(f"note: {text}", markup=False)
    rows = [
        *(["parameter", name, value, ""] for name, value in record.action.parameters.items()),
        *(
            ["input", i.name, i.source, ", ".join(k[:N_DIGITS] for k in i.held_by) or f"sha256 {i.digest[:N_DIGITS]}"]
            for i in found.inputs
        ),
        *(["model", role, f"sha256 {digest[:N_DIGITS]}", ""] for role, digest in record.action.models.items()),
    ]
    screen.print(table(["from", "name", "value", "artifact"], rows, title="\nComputed from"))
    rows = [[use.run, use.node, use.status] for use in found.uses]
    screen.print(table(["run", "stage", "status"], rows, title="\nUsed by") if rows else "\nNo run uses it.")
    rows = [[other[:N_DIGITS], stage] for other, stage in found.dependents.items()]
    screen.print(
        table(["key", "stage"], rows, title="\nComputed from it") if rows else "\nNothing was computed from it."
    )


@app.command()
def pin(key: Key, *, store: options.Store = None, as_json: options.Json = False) -> None:
    """Protect an artifact from `gc`."""
    from svdaudio.cli.sessions import open_store
    from svdaudio.errors import MissingArtifactError
    from svdaudio.store.lookup import full_key

    where = open_store(store)
    full = full_key(where, key)
    where.pin(full)
    if not list(where.footprints([full])):
        where.unpin(full)
        raise MissingArtifactError(
            f"artifact {full[:N_DIGITS]} was removed before it could be pinned", fix="run the stage that computes it"
        )
    print_outcome({"key": full, "pinned": True}, f"{full[:N_DIGITS]} is pinned", as_json=as_json)


@app.command()
def unpin(key: Key, *, store: options.Store = None, as_json: options.Json = False) -> None:
    """Undo `pin`."""
    from svdaudio.cli.sessions import open_store
    from svdaudio.store.lookup import full_key

    where = open_store(store)
    full = full_key(where, key, pinned=True)
    where.unpin(full)
    print_outcome({"key": full, "pinned": False}, f"{full[:N_DIGITS]} is no longer pinned", as_json=as_json)


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")


def _why_as_json(found: Why, *, pinned: bool) -> dict[str, Any]:
    record = found.record
    return {
        "key": record.key,
        "stage": record.action.stage,
        "version": record.action.version,
        "parameters": dict(record.action.parameters),
        "inputs": {
            i.name: {"source": i.source, "digest": i.digest, "artifacts": list(i.held_by)} for i in found.inputs
        },
        "models": dict(record.action.models),
        "outputs": {name: spec.digest for name, spec in record.outputs.items()},
        "notes": list(record.notes),
        "seconds": record.seconds,
        "created_at": record.created_at,
        "host": record.host,
        "code_version": record.code_version,
        "pinned": pinned,
        "used_by": [{"run": use.run, "stage": use.node, "status": use.status} for use in found.uses],
        "dependents": [{"key": key, "stage": stage} for key, stage in found.dependents.items()],
    }
