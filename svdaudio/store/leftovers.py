"""What the dead leave in a local store: half-built artifacts, half-written files, locks, damaged artifacts.

Whoever builds something under tmp/, or writes the record of a run, holds a lock on it, which the kernel frees when
the writer dies. So what is still held is never taken for a leftover, however old it is.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from svdaudio.store.base import Leftover, LeftoverKind
from svdaudio.store.locks import HeldError, file_lock, is_held, refuse_to_wait

_PLACES: tuple[tuple[str, LeftoverKind], ...] = (
    ("tmp/*", "unfinished"),
    ("runs/.*.partial", "unfinished"),
    ("out/**/.*.partial", "unfinished"),
    ("quarantine/*", "quarantined"),
    ("locks/*", "lock"),
    ("runs/.*.lock", "lock"),
)


def find_leftovers(folder: Path) -> Iterator[Leftover]:
    """Everything in the store at `folder` that is no artifact and that nobody holds, in no order."""
    for pattern, kind in _PLACES:
        for path in folder.glob(pattern):
            if kind == "quarantined" or not is_held(path):
                yield from _leftover(folder, path, kind)
    for path in folder.glob("objects/??/*"):
        if not (path / "record.json").exists() and not is_held(folder / "locks" / path.name):
            yield from _leftover(folder, path, "unfinished")


def clear_leftover(folder: Path, leftover: Leftover) -> bool:
    """Remove a leftover of the store at `folder`; False if it is gone, or held again.

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


def folder_size(folder: Path) -> int:
    """Bytes in all files below a folder, or of a file; what vanishes while it is counted counts as nothing."""
    n_bytes = 0
    try:
        if not folder.is_dir():
            return folder.stat().st_size
        with os.scandir(folder) as entries:
            for entry in entries:
                n_bytes += folder_size(Path(entry)) if entry.is_dir(follow_symlinks=False) else entry.stat().st_size
    except FileNotFoundError:
        pass
    return n_bytes


def _leftover(folder: Path, path: Path, kind: LeftoverKind) -> Iterator[Leftover]:
    try:
        changed_at_s = path.stat().st_mtime
    except FileNotFoundError:  # its owner was quicker
        return
    name = path.relative_to(folder).as_posix()
    yield Leftover(name=name, kind=kind, n_bytes=folder_size(path), changed_at_s=changed_at_s)


def _clear_lock(path: Path) -> bool:
    """A lock is removed by taking and freeing it."""
    if not path.exists():
        return False
    try:
        with file_lock(path, refuse_to_wait):
            return True
    except HeldError:
        return False


def _clear_object(folder: Path, path: Path) -> bool:
    """A folder without a record: no artifact. It goes by way of tmp/, as nobody must see half of it."""
    try:
        with file_lock(folder / "locks" / path.name, refuse_to_wait):
            if (path / "record.json").exists():
                return False
            aside = folder / "tmp" / f"{path.name[:16]}.removed.{secrets.token_hex(4)}"
            path.rename(aside)
    except (HeldError, FileNotFoundError):
        return False
    _delete(aside)
    return True


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
