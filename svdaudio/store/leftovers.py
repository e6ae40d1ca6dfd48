"""Leftovers of dead processes in a local store: unfinished artifacts and files, locks, damaged artifacts.

A writer that builds something under tmp/, or writes a run record, holds a lock on it, which the kernel frees when the
writer dies. So a file that is still locked never counts as a leftover, however old it is.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from svdaudio.store.base import Leftover, LeftoverKind
from svdaudio.store.folders import entries, entries_below, is_there, size_of
from svdaudio.store.locks import HeldError, file_lock, is_held, refuse_to_wait


def find_leftovers(folder: Path) -> Iterator[Leftover]:
    """Everything in the store at `folder` that is neither an artifact nor locked, in no order.

    Raises:
        OSError: a part of the store cannot be read.
    """
    for path, kind in _candidates(folder):
        if kind == "quarantined" or not is_held(Path(path)):
            yield from _leftover(folder, Path(path), kind)
    for shard in entries(folder / "objects"):
        if len(shard.name) != 2:
            continue
        for entry in entries(shard.path):
            recordless = not is_there(f"{entry.path}/record.json")
            if recordless and not is_held(folder / "locks" / entry.name):
                yield from _leftover(folder, Path(entry.path), "unfinished")


def _candidates(folder: Path) -> Iterator[tuple[str, LeftoverKind]]:
    """Everything that is not an artifact, a record or a sound, whether or not a process is using it."""
    for entry in entries(folder / "tmp"):
        yield entry.path, "unfinished"
    for entry in entries(folder / "runs"):
        if entry.name.startswith(".") and entry.name.endswith(".partial"):
            yield entry.path, "unfinished"
        elif entry.name.startswith(".") and entry.name.endswith(".lock"):
            yield entry.path, "lock"
    for entry in entries_below(folder / "out"):
        if entry.name.startswith(".") and entry.name.endswith(".partial"):
            yield entry.path, "unfinished"
    for entry in entries(folder / "quarantine"):
        yield entry.path, "quarantined"
    for entry in entries(folder / "locks"):
        yield entry.path, "lock"


def clear_leftover(folder: Path, leftover: Leftover) -> bool:
    """Remove a leftover of the store at `folder`; False if it is gone or locked again.

    Raises:
        OSError: it cannot be removed.
    """
    path = folder / leftover.name
    if leftover.kind == "lock":
        return _clear_lock(path)
    if leftover.name.startswith("objects/"):
        return _clear_object(folder, path)
    if not path.exists() or (leftover.kind == "unfinished" and is_held(path)):
        return False
    _delete(path)
    return True


def _leftover(folder: Path, path: Path, kind: LeftoverKind) -> Iterator[Leftover]:
    try:
        changed_at_s = path.lstat().st_mtime
    except FileNotFoundError:  # its owner has removed it
        return
    name = path.relative_to(folder).as_posix()
    yield Leftover(name=name, kind=kind, n_bytes=size_of(path), changed_at_s=changed_at_s)


def _clear_lock(path: Path) -> bool:
    """Remove a lock by taking and releasing it."""
    if not path.exists():
        return False
    try:
        with file_lock(path, refuse_to_wait):
            return True
    except HeldError:
        return False


def _clear_object(folder: Path, path: Path) -> bool:
    """Remove a folder without a record, which is not an artifact, via tmp/, so that no reader sees half of it."""
    try:
        with file_lock(folder / "locks" / path.name, refuse_to_wait):
            if is_there(path / "record.json"):
                return False
            aside = folder / "tmp" / f"{path.name[:16]}.removed.{secrets.token_hex(4)}"
            path.rename(aside)
    except (HeldError, FileNotFoundError):
        return False
    _delete(aside)
    return True


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
