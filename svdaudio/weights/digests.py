"""sha256 of large files, remembered for as long as a file is not touched.

Hashing gigabytes at every start would cost more than loading them. So the digest of a file is kept beside it, with
its size, its inode and the times of its last changes, and holds until one of these is another.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from svdaudio.errors import StoreError
from svdaudio.files import write_bytes


def hash_file(path: Path) -> str:
    """sha256 of a file's bytes, read now."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_digest(path: Path) -> str:
    """sha256 of a file: the remembered one if the file has not been touched since, else computed and remembered."""
    state = _state(path)
    note = _note(path)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        remembered: Mapping[str, Any] = json.loads(note.read_text())
        if all(remembered.get(key) == value for key, value in state.items()) and remembered.get("sha256"):
            return str(remembered["sha256"])
    digest = hash_file(path)
    remember_digest(path, digest)
    return digest


def remember_digest(path: Path, sha256: str) -> None:
    """Keep the digest of a file that has just been hashed; where nothing can be written it is hashed again."""
    with contextlib.suppress(StoreError):
        write_bytes(_note(path), json.dumps({**_state(path), "sha256": sha256}).encode(), through_link=False)


def joint_digest(parts: Iterable[tuple[str, str]]) -> str:
    """One digest for several files, from (name, sha256) of each; that of the file itself if it is one alone."""
    listed = sorted(parts)
    if len(listed) == 1:
        return listed[0][1]
    return hashlib.sha256("".join(f"{sha256}  {name}\n" for name, sha256 in listed).encode()).hexdigest()


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256.json")


def _state(path: Path) -> dict[str, int]:
    there = path.stat()
    return {
        "bytes": there.st_size,
        "inode": there.st_ino,
        "changed_ns": there.st_ctime_ns,
        "modified_ns": there.st_mtime_ns,
    }
