"""sha256 of large files, cached for as long as a file is not modified.

Hashing gigabytes at every start would take longer than loading them. So the digest of a file is kept next to it, with
its size, its inode and the times of its last changes, and is valid until one of these differs.

Two cases need care. A file may be written to while it is hashed: its state is compared before and after, and it is
hashed again if they differ. And a write shortly after another may leave no trace, because file system timestamps
advance in ticks: a digest is only cached if the last change was longer ago than a tick when hashing began. (git treats
its index entries the same way.)
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from svdaudio.errors import CheckpointError, StoreError
from svdaudio.files import write_bytes

TICK_NS = 100_000_000
"""Longer than the tick of any file system with sub-second timestamps (1 to 10 ms on Linux)."""
COARSE_TICK_NS = 2_000_000_000
"""The tick of FAT; file systems with a tick of one or two seconds are recognised by whole seconds."""
N_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class FileState:
    """Attributes that change when a file is modified."""

    bytes: int
    inode: int
    changed_ns: int
    """Time of the last change of contents or attributes; programs cannot set it."""
    modified_ns: int

    @property
    def is_settled(self) -> bool:
        """Whether the last change is long enough ago that the next one will have another timestamp."""
        return self._age_ns() >= self._tick_ns

    def same_contents(self, other: FileState | None) -> bool:
        """Whether a file had the same contents in both states: links and permissions may differ."""
        return other is not None and (self.bytes, self.inode, self.modified_ns) == (
            other.bytes, other.inode, other.modified_ns
        )  # fmt: skip

    def settle(self) -> None:
        """Wait until the last change is older than a tick, if that takes less than a second."""
        age_ns = self._age_ns()
        if 0 <= age_ns < self._tick_ns == TICK_NS:
            time.sleep((self._tick_ns - age_ns) / 1e9)

    @property
    def _tick_ns(self) -> int:
        return TICK_NS if self.changed_ns % 1_000_000_000 else COARSE_TICK_NS

    def _age_ns(self) -> int:
        return time.time_ns() - self.changed_ns


def file_state(path: Path) -> FileState:
    """The current state of a file."""
    there = path.stat()
    return FileState(
        bytes=there.st_size, inode=there.st_ino, changed_ns=there.st_ctime_ns, modified_ns=there.st_mtime_ns
    )


def hash_file(path: Path) -> str:
    """sha256 of a file's bytes, read now."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, kw_only=True)
class Hashed:
    """A file's digest, and its state before, during and after hashing."""

    sha256: str
    state: FileState
    was_settled: bool
    """Whether any write during hashing would have changed the state."""


def hash_unchanged(path: Path) -> Hashed:
    """Hash a file, and check that it was not written to meanwhile.

    Raises:
        CheckpointError: the file was written to during every attempt.
    """
    for _ in range(N_TRIES):
        state = file_state(path)
        was_settled = state.is_settled
        digest = hash_file(path)
        if file_state(path) == state:
            return Hashed(sha256=digest, state=state, was_settled=was_settled)
    raise CheckpointError(
        f"the file {path} changed while it was read", fix="wait until it is complete, and run the same command again"
    )


def known_digest(path: Path, *, rehash: bool = False) -> str:
    """sha256 of a file: the cached one if the file has not been modified since, else computed and cached.

    Args:
        path: path of the file.
        rehash: compute it even if it is cached.

    Raises:
        CheckpointError: see `hash_unchanged`.
    """
    state = file_state(path)
    if not rehash:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            remembered: Mapping[str, Any] = json.loads(_note(path).read_text())
            if all(remembered.get(key) == value for key, value in asdict(state).items()) and remembered.get("sha256"):
                return str(remembered["sha256"])
    state.settle()
    found = hash_unchanged(path)
    if found.was_settled:
        _remember(path, found.sha256, found.state)
    return found.sha256


def remember_digest(path: Path, sha256: str, state: FileState) -> None:
    """Cache the digest of a file that was linked or renamed after it was hashed.

    Args:
        path: current path of the file.
        sha256: its digest.
        state: its state when it was hashed. Linking and renaming change only its `changed_ns`.

    Raises:
        CheckpointError: its contents have changed since.
    """
    file_state(path).settle()
    now = file_state(path)
    if not now.same_contents(state):
        raise CheckpointError(f"the file {path} has changed since it was read", fix="run the same command again")
    if now.is_settled:
        _remember(path, sha256, now)


def joint_digest(parts: Iterable[tuple[str, str]]) -> str:
    """One digest for several files, from (name, sha256) of each; for a single file its own digest."""
    listed = sorted(parts)
    if len(listed) == 1:
        return listed[0][1]
    return hashlib.sha256("".join(f"{sha256}  {name}\n" for name, sha256 in listed).encode()).hexdigest()


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256.json")


def _remember(path: Path, sha256: str, state: FileState) -> None:
    """Does nothing if the folder is not writable; the file is then hashed again next time."""
    with contextlib.suppress(StoreError):
        write_bytes(_note(path), json.dumps({**asdict(state), "sha256": sha256}).encode(), through_link=False)
