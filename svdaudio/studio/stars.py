"""Starred runs, kept in a file in the store's folder of results."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from svdaudio.files import write_bytes


class Stars:
    """The starred runs of a store.

    Args:
        path: the file that lists them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def all(self) -> dict[str, bool]:
        """Ids of the starred runs; none if the file is missing or damaged."""
        try:
            found = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return {run: True for run in found if isinstance(run, str)} if isinstance(found, list) else {}

    def set(self, run: str, *, starred: bool) -> None:
        """Adds or removes a star.

        Raises:
            StoreError: the file cannot be written.
        """
        with self._lock:
            kept = self.all()
            kept.pop(run, None)
            if starred:
                kept[run] = True
            write_bytes(self._path, json.dumps(list(kept), indent=1).encode())
