"""sha256 of large files, remembered for as long as a file is not touched.

Hashing gigabytes at every start would cost more than loading them. So the digest of a file is kept beside it, with
its size, its inode and the times of its last changes, and holds until one of these differs.

Two cases need care. A file may be written to while it is hashed: its state is compared before and after, and it is
hashed again if they differ. And a write shortly after another may leave no trace, because file systems count time in
ticks: a digest is only remembered if the last change was longer ago than a tick when hashing began. (git treats the
entries of its index in the same way.)
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
"""More than any tick of a file system that counts in fractions of a second (1 to 10 ms on Linux)."""
COARSE_TICK_NS = 2_000_000_000
"""The tick of FAT; file systems that count in seconds or pairs of them are told by whole seconds."""
N_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class FileState:
    """What tells that a file has been touched."""

    bytes: int
    inode: int
    changed_ns: int
    """Time of the last change of contents or attributes; no program can set it."""
    modified_ns: int

    @property
    def is_settled(self) -> bool:
        """Whether the last change is long enough ago for the next one to get another time."""
        return self._age_ns() >= self._tick_ns

    def same_contents(self, other: FileState | None) -> bool:
        """Whether a file in this and the other state held the same: links and permissions may differ."""
        return other is not None and (self.bytes, self.inode, self.modified_ns) == (
            other.bytes, other.inode, other.modified_ns
        )  # fmt: skip

    def settle(self) -> None:
        """Wait until the last change is older than a tick, if that takes a fraction of a second."""
        age_ns = self._age_ns()
        if 0 <= age_ns < self._tick_ns == TICK_NS:
            time.sleep((self._tick_ns - age_ns) / 1e9)

    @property
    def _tick_ns(self) -> int:
        return TICK_NS if self.changed_ns % 1_000_000_000 else COARSE_TICK_NS

    def _age_ns(self) -> int:
        return time.time_ns() - self.changed_ns


def file_state(path: Path) -> FileState:
    """The present state of a file."""
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
    """Whether a write during hashing was certain to change the state."""


def hash_unchanged(path: Path) -> Hashed:
    """Hash a file that nobody writes to meanwhile.

    Raises:
        CheckpointError: it was written to each time it was tried.
    """
    for _ in range(N_TRIES):
        state = file_state(path)
        was_settled = state.is_settled
        digest = hash_file(path)
        if file_state(path) == state:
            return Hashed(sha256=digest, state=state, was_settled=was_settled)
    raise CheckpointError(
        f"the file {path} changes while it is read", fix="wait until it is complete, and run the same command again"
    )


def known_digest(path: Path, *, anew: bool = False) -> str:
    """sha256 of a file: the remembered one if the file has not been touched since, else computed and remembered.

    Args:
        path: of the file.
        anew: compute it in any case.

    Raises:
        CheckpointError: see `hash_unchanged`.
    """
    state = file_state(path)
    if not anew:
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
    """Remember the digest of a file that was linked or renamed after it had been hashed.

    Args:
        path: where it is now.
        sha256: its digest.
        state: its state when it was hashed. Of this, linking and renaming change `changed_ns` alone.

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
    """One digest for several files, from (name, sha256) of each; that of the file itself if it is one alone."""
    listed = sorted(parts)
    if len(listed) == 1:
        return listed[0][1]
    return hashlib.sha256("".join(f"{sha256}  {name}\n" for name, sha256 in listed).encode()).hexdigest()


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256.json")


def _remember(path: Path, sha256: str, state: FileState) -> None:
    """Where nothing can be written, the file is hashed again next time."""
    with contextlib.suppress(StoreError):
        write_bytes(_note(path), json.dumps({**asdict(state), "sha256": sha256}).encode(), through_link=False)
