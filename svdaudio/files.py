"""Files that are there whole or not at all, and in places that can take them."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from svdaudio.errors import InputError, StoreError

N_NAME = 40
"""Letters of a file's name that its unfinished neighbour takes over: a whole one may leave no room for more."""


def read_text(path: Path) -> str:
    """The text of a plain file.

    Raises:
        OSError: it cannot be read, or is a folder, a device or a pipe, which would be waited for.
        ValueError: it is not UTF-8.
    """
    if (another := found_instead(path)) is not None:
        raise OSError(f"{path} is {another}")
    return path.read_text(encoding="utf-8")


def found_instead(path: Path) -> str | None:
    """What is at a path if it is something other than a file; None for a file, and where nothing is."""
    if not path.exists() or path.is_file():
        return None
    return "a folder" if path.is_dir() else "a device or a pipe"


def check_place(path: Path, *, kind: str | None = None, inputs: Iterable[Path] = ()) -> None:
    """Refuse a place that cannot take a result, before any work is done.

    Args:
        path: where it would go.
        kind: the ending that its name must have.
        inputs: files that it must not replace.

    Raises:
        InputError: it is a folder, a device or a pipe, lies in something that is no folder, must not be written, has
            another ending, or is one of the inputs.
    """
    try:
        if b"\0" in os.fsencode(path):
            raise ValueError("embedded null byte")
        parent = next(folder for folder in path.absolute().parents if folder.exists())
        replaced = next((each for each in inputs if path.exists() and each.exists() and path.samefile(each)), None)
        another = found_instead(path)
        writable = os.access(parent, os.W_OK)
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)[:200]!r} cannot be written to", got=str(error)[:200]) from error
    what = f"{path} cannot be written to"
    if another is not None:
        raise InputError(what, expected="a file", got=another)
    if not parent.is_dir():
        raise InputError(what, expected="a file", got=f"{parent} is no folder")
    if not writable:
        raise InputError(what, got=f"no permission to write in {parent}")
    if kind is not None and path.suffix.lower() != kind:
        raise InputError(what, expected=f"a name that ends in {kind}", got=path.name)
    if replaced is not None:
        raise InputError(what, got=f"{replaced}, which is read", fix="give another place")


def write_bytes(path: Path, data: bytes, *, through_link: bool = True) -> None:
    """Write `data` to `path`: into a neighbour first, then renamed over it, so that no reader sees a part.

    A file that is replaced keeps its permissions; those of a new one follow the umask.

    Args:
        path: where it goes.
        data: what it will hold.
        through_link: a symbolic link stays, and what it points to is written; else the link is replaced.

    Raises:
        StoreError: the folder cannot be made or written, the disk is full, or `path` is something other than a file.
    """
    partial: Path | None = None
    try:
        if through_link and path.is_symlink():
            path = path.resolve()
        if (another := found_instead(path)) is not None:
            raise StoreError(f"cannot write {path}", expected="a file", got=another)
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
        partial = path.with_name(f".{path.name[:N_NAME]}.{secrets.token_hex(4)}.partial")
        with open(partial, "xb", opener=partial_opener(mode)) as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode & 0o777)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        partial = None
    except OSError as error:
        raise StoreError(
            f"cannot write {path}", got=error.strerror or str(error), fix="free some space, or choose another place"
        ) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def partial_opener(mode: int | None) -> Callable[[str, int], int]:
    """An opener for `open` that keeps a partial file as private as the file that it replaces.

    Args:
        mode: permissions of the file that is replaced; None if there is none, and the umask decides.
    """
    return lambda path, flags: os.open(path, flags, 0o666 if mode is None else 0o600)
