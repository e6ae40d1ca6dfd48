"""Locks between processes and threads on one machine: `flock`, which the kernel frees when a holder dies."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path


class HeldError(Exception):
    """Somebody else holds the lock."""


def refuse_to_wait() -> None:
    """For `waiting`: give up at once.

    Raises:
        HeldError: always.
    """
    raise HeldError


@contextmanager
def file_lock(path: Path, waiting: Callable[[], None]) -> Generator[None]:
    """Hold the lock file `path`, which is made and removed again.

    Removing it is safe because a newcomer checks, once it has the lock, that the file it locked still is the
    one at `path`.

    Args:
        path: the lock file; its folder exists.
        waiting: called once if someone else holds it.
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
                with suppress(OSError):  # a file that stays is nobody's lock, and `gc` removes it
                    path.unlink()
            return
        finally:
            os.close(descriptor)


@contextmanager
def building_lock(path: Path) -> Generator[None]:
    """Hold an existing file or folder that is being written, so that nobody takes it for a dead writer's.

    Raises:
        FileNotFoundError: it was taken for one in the moment before.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if not is_at(descriptor, path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether somebody holds a file or folder. What must not be opened counts as held: it is not ours."""
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
    """Whether an open file still is the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
