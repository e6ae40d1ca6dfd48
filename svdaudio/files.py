"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from svdaudio.errors import StoreError


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`: into a neighbour first, then renamed over it, so that no reader sees a part.

    Raises:
        StoreError: the folder cannot be made or written, or the disk is full.
    """
    partial: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).chmod(0o644)
        Path(partial).replace(path)
        partial = None
    except OSError as error:
        raise StoreError(
            f"cannot write {path}", got=error.strerror or str(error), fix="free some space, or choose another place"
        ) from error
    finally:
        if partial is not None:
            Path(partial).unlink(missing_ok=True)
