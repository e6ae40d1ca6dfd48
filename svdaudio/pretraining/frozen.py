"""Embeddings by the frozen network, computed once and kept on disk.

A folder belongs to one model and one way of preparing its input. Each file in it holds some vectors with their keys, so
that an interrupted computation resumes, and new items only add files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from svdaudio.files import write_bytes

Rows = Float[NDArray[np.float32], "n dim"]
Progress = Callable[[int, int], None]
"""Receives the number done and the total."""
_KEYS = "keys"
_AT_ONCE = 32
_IN_A_FILE = 1024


class FrozenVectors:
    """Vectors by key.

    Args:
        folder: of the files, created with the first of them.
        source: what the vectors depend on in addition to their keys: digest of the model, preparation.
    """

    def __init__(self, folder: Path, source: str) -> None:
        self._folder = folder / hashlib.sha256(source.encode()).hexdigest()[:16]

    def get(self, keys: Sequence[str], make: Callable[[Sequence[int]], Rows], progress: Progress) -> Rows:
        """The vectors of `keys`, in their order.

        Args:
            keys: one for each vector; equal keys have equal vectors.
            make: computes the vectors at some indices of `keys`.
            progress: receives the number of new vectors computed and their total.
        """
        known = self._read(set(keys))
        places = {key: place for place, key in reversed(list(enumerate(keys))) if key not in known}
        missing = sorted(places.values())
        for first in range(0, len(missing), _IN_A_FILE):
            some = missing[first : first + _IN_A_FILE]
            rows: list[Rows] = []
            for begin in range(0, len(some), _AT_ONCE):
                rows.append(np.asarray(make(some[begin : begin + _AT_ONCE]), np.float32))
                progress(first + min(begin + _AT_ONCE, len(some)), len(missing))
            made = np.concatenate(rows)
            self._write([keys[place] for place in some], made)
            known.update(zip((keys[place] for place in some), made, strict=True))
        return np.stack([known[key] for key in keys])

    def _read(self, wanted: set[str]) -> dict[str, NDArray[np.float32]]:
        """The wanted vectors that are on disk; damaged files are deleted."""
        known: dict[str, NDArray[np.float32]] = {}
        for path in sorted(self._folder.glob("*.safetensors")):
            try:
                with safe_open(path, framework="numpy") as file:
                    keys, rows = json.loads(file.metadata()[_KEYS]), file.get_tensor("rows")
                known.update((key, row) for key, row in zip(keys, rows, strict=True) if key in wanted)
            except (SafetensorError, OSError, ValueError, KeyError, TypeError):
                path.unlink(missing_ok=True)
        return known

    def _write(self, keys: Sequence[str], rows: Rows) -> None:
        name = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]
        data = save({"rows": np.ascontiguousarray(rows)}, metadata={_KEYS: json.dumps(list(keys))})
        write_bytes(self._folder / f"{name}.safetensors", data)
