"""Writing files atomically, and checking destinations beforehand."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from svdaudio.errors import InputError, StoreError

N_NAME = 40
"""Characters of a file's name used in the name of its temporary neighbour: a full name may leave no room for more."""


def read_text(path: Path) -> str:
    """The text of a plain file.

    Raises:
        OSError: it cannot be read, or is a folder, or a device or pipe, which could block.
        ValueError: it is not UTF-8.
    """
    if (another := found_instead(path)) is not None:
        raise OSError(f"{path} is {another}")
    return path.read_text(encoding="utf-8")


def found_instead(path: Path) -> str | None:
    """What is at a path if it is something other than a file; None for a file or a missing path."""
    if not path.exists() or path.is_file():
        return None
    return "a folder" if path.is_dir() else "a device or a pipe"


def check_place(path: Path, *, kind: str | tuple[str, ...] | None = None, inputs: Iterable[Path] = ()) -> None:
    """Reject a path to which a result cannot be written, before any work is done.

    Args:
        path: destination of the result.
        kind: required suffix of its name, or several to choose from.
        inputs: files that it must not replace.

    Raises:
        InputError: it is a folder, a device or a pipe, its parent is not a folder, it is not writable, has another
            suffix, or is one of the inputs.
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
        raise InputError(what, expected="a file", got=f"{parent} is not a folder")
    if not writable:
        raise InputError(what, got=f"no permission to write in {parent}")
    kinds = (kind,) if isinstance(kind, str) else kind
    if kinds is not None and path.suffix.lower() not in kinds:
        raise InputError(what, expected=f"a name that ends in {' or '.join(kinds)}", got=path.name)
    if replaced is not None:
        raise InputError(what, got=f"{replaced}, which is an input", fix="choose another path")


def write_bytes(path: Path, data: bytes, *, through_link: bool = True) -> None:
    """Write `data` to `path` atomically: first to a temporary neighbour, which is then renamed.

    A file that is replaced keeps its permissions; those of a new one follow the umask.

    Args:
        path: the destination.
        data: the content.
        through_link: keep a symbolic link and write to its target; else the link is replaced.

    Raises:
        StoreError: the folder cannot be created or written, the disk is full, or `path` is something other than a file.
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
            f"cannot write {path}", got=error.strerror or str(error), fix="free some space, or choose another path"
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
