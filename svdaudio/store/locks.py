"""Locks between processes and threads on one machine: `flock`, which the kernel frees when a holder dies."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path


class HeldError(Exception):
    """Another process or thread holds the lock."""


def refuse_to_wait() -> None:
    """`waiting` callback that gives up at once.

    Raises:
        HeldError: always.
    """
    raise HeldError


@contextmanager
def file_lock(path: Path, waiting: Callable[[], None]) -> Generator[None]:
    """Hold the lock file `path`, which is created and removed again.

    Removing it is safe because the next holder checks, once it has the lock, that the file it locked is still the
    one at `path`.

    Args:
        path: the lock file; its folder exists.
        waiting: called once if another process or thread holds the lock.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not is_at(descriptor, path):
                continue
            try:
                yield
            finally:
                with suppress(OSError):  # a file that stays is a lock without a holder, and `gc` removes it
                    path.unlink()
            return
        finally:
            os.close(descriptor)


@contextmanager
def building_lock(path: Path) -> Generator[None]:
    """Hold an existing file or folder that is being written, so that it does not count as a dead writer's leftover.

    A file is opened for writing, because NFS locks no other exclusively.

    Raises:
        FileNotFoundError: it was removed as a leftover just before.
    """
    descriptor = os.open(path, (os.O_RDONLY if path.is_dir() else os.O_RDWR) | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if not is_at(descriptor, path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a file or folder is locked. One that this user may not open counts as locked."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
