"""Contents of folders, and errors of the file system. A folder that does not exist counts as empty."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from svdaudio.errors import StoreError


def entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """The entries of a folder, in no order; none if the folder does not exist.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with os.scandir(folder) as found:
            return list(found)
    except (FileNotFoundError, NotADirectoryError):
        return []


def entries_below(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """Everything below a folder, in no order. Links to folders are not followed.

    Raises:
        OSError: a folder cannot be read.
    """
    for entry in entries(folder):
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from entries_below(entry.path)


def is_there(path: str | Path) -> bool:
    """Whether anything exists at a path.

    Raises:
        OSError: it cannot be determined. `os.path.exists` would return False.
    """
    try:
        os.stat(path)  # noqa: PTH116 - faster for thousands of paths
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def size_of(path: str | Path) -> int:
    """Bytes in all files below a folder, or of a file; files that vanish meanwhile count as 0 bytes.

    Raises:
        OSError: a folder below it cannot be read.
    """
    try:
        with os.scandir(path) as found:
            return sum(
                size_of(entry.path) if entry.is_dir(follow_symlinks=False) else _file_size(entry) for entry in found
            )
    except NotADirectoryError:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0


def unreadable(store: Path, error: OSError) -> StoreError:
    """The error for a store that cannot be read."""
    return StoreError(f"the store {store} cannot be read", got=_message(error), fix=remedy(error))


def unwritable(store: Path, error: OSError) -> StoreError:
    """The error for a store that cannot be written."""
    return StoreError(f"the store {store} cannot be written", got=_message(error), fix=remedy(error))


def _message(error: OSError) -> str:
    """The message of a file system error, with the path that it concerns."""
    text = error.strerror or str(error)
    return f"{text}: {os.fsdecode(error.filename)}" if isinstance(error.filename, str | bytes) else text


def remedy(error: OSError) -> str:
    """How to solve a file system error that keeps a store from being read or written."""
    if error.errno == errno.EXDEV:
        return "put the whole store on one file system, because artifacts are renamed between its folders"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "free some space, or choose another --store"
    if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
        return "use a file system with locks: a --store on a local disk, or in a bucket"
    if error.errno in (errno.ESTALE, errno.EIO):
        return "check that its file system is mounted and intact, then repeat the command"
    return "check its permissions, or choose another --store"


def _file_size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0
