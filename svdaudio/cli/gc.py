"""`svdaudio gc`: freeing space in a store."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdaudio.cli import options
from svdaudio.cli.output import N_DIGITS, bytes_text, console, print_json, print_note, table

if TYPE_CHECKING:
    from svdaudio.store.gc import Collection, Policy

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_BINARY_UNITS = {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}

KeepDays = Annotated[
    float | None,
    typer.Option("--keep-days", metavar="N", help="Also remove runs that started more than N days ago."),
]
MaxSize = Annotated[
    str | None,
    typer.Option("--max-size", metavar="SIZE", help="Limit artifacts to SIZE (10GB); keep the most recently used."),
]
GraceHours = Annotated[float, typer.Option("--grace-hours", metavar="N", help="Keep everything newer than N hours.")]
GRACE_HOURS = 24.0


def gc(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be removed, without removing it.")
    ] = False,
    keep_days: KeepDays = None,
    max_size: MaxSize = None,
    grace_hours: GraceHours = GRACE_HOURS,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Remove artifacts that no run uses, leftovers of crashes, and quarantined artifacts.

    Runs and their artifacts are kept, unless --keep-days or --max-size excludes them. Pinned artifacts (`svdaudio cache
    pin`) and artifacts that an active run may use are always kept. Sounds and pictures in the store's folder `out` are
    not touched.
    """
    from svdaudio.cli.sessions import log_to_stderr, open_store
    from svdaudio.store.gc import carry_out, plan_collection

    log_to_stderr()
    where = open_store(store)
    collection = plan_collection(where, policy_of(keep_days, max_size, grace_hours), now_s=time.time())
    if not dry_run:
        collection = carry_out(where, collection)
    if as_json:
        print_json({"store": where.location, "dry_run": dry_run, **_as_json(collection)})
        return
    for text in collection.remarks:
        print_note(text)
    _print(collection, dry_run=dry_run)


def policy_of(keep_days: float | None, max_size: str | None, grace_hours: float) -> Policy:
    """The policy that the options describe.

    Raises:
        InputError: the size is not valid.
        ConfigError: a number is negative.
    """
    from svdaudio.store.gc import HOUR_S, Policy

    max_bytes = None if max_size is None else n_bytes(max_size)
    return Policy(keep_days=keep_days, max_bytes=max_bytes, grace_s=grace_hours * HOUR_S)


def n_bytes(text: str) -> int:
    """Parse a size such as 10GB, 1.5 GiB or 200000.

    Raises:
        InputError: the size is not valid.
    """
    from svdaudio.errors import InputError

    found = re.fullmatch(r"\s*(\d{1,18}(?:\.\d*)?)\s*([a-z]*)\s*", text.lower())
    unit = {**_UNITS, **_BINARY_UNITS}.get(found[2]) if found else None
    if found is None or unit is None:
        raise InputError("the size is not valid", expected="a number and a unit, such as 10GB or 2GiB", got=text)
    return int(float(found[1]) * unit)


def _as_json(collection: Collection) -> dict[str, Any]:
    return {
        "runs": list(collection.runs),
        "artifacts": [
            {"key": r.footprint.key, "bytes": r.footprint.n_bytes, "why": r.why} for r in collection.removals
        ],
        "leftovers": [{"name": left.name, "kind": left.kind, "bytes": left.n_bytes} for left in collection.leftovers],
        "bytes": collection.n_bytes,
        "kept": {"artifacts": collection.n_kept, "bytes": collection.n_bytes_kept},
        "remarks": list(collection.remarks),
    }


def _print(collection: Collection, *, dry_run: bool) -> None:
    screen = console()
    rows = [
        *(["run", run, "", "older than --keep-days"] for run in collection.runs),
        *(
            ["artifact", r.footprint.key[:N_DIGITS], bytes_text(r.footprint.n_bytes), r.why]
            for r in collection.removals
        ),
        *(
            [left.kind, left.name.rpartition("/")[2], bytes_text(left.n_bytes), "leftover"]
            for left in collection.leftovers
        ),
    ]
    if rows:
        screen.print(table(["what", "name", "size", "why"], rows, right=[2]))
        screen.print()
    verb = "would be removed" if dry_run else "removed"
    screen.print(
        f"{len(collection.runs)} runs, {len(collection.removals)} artifacts and {len(collection.leftovers)} leftovers "
        f"{verb} ({bytes_text(collection.n_bytes)}); {collection.n_kept} artifacts "
        f"({bytes_text(collection.n_bytes_kept)}) kept",
        markup=False,
    )
