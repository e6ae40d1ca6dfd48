"""A quick copy of weights that are slow to read: safetensors beside the published file, mapped into memory.

Published files are often in half precision, packed in an archive that has to be unpacked, or in an order that has to be
changed. The tensors that a network takes in the end are written once beside the file, and after that they are only
mapped: nothing is read before it is used. The copy names the digest of the file that it was made from, and is made
anew when the name, the digest or this code's version is another. It may be deleted at any time.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

VERSION = 1
HEADER_KEY = "svdaudio-cache"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What a published file holds for one network."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What else the network needs to know, as JSON values (class names, shapes)."""


def cached(source: Path, *, name: str, digest: str | None, read: Callable[[], Weights]) -> Weights:
    """The weights of a published file, from its quick copy if there is a right one, else by `read`.

    Args:
        source: the published file.
        name: which of its networks, by its role.
        digest: sha256 of the file, already checked; without it no copy is used or made.
        read: reads the published file itself.
    """
    if digest is None:
        return read()
    path = cache_path(source, name)
    found = _mapped(path, name, digest)
    if found is not None:
        return found
    weights = read()
    try:
        _write(path, name, digest, weights)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        log.warning("no quick copy of %s is kept (%s): it is read anew each time", source, reason)
        return weights
    # What was just read may go: both ways hand on mapped tensors.
    return _mapped(path, name, digest) or weights


def cache_path(source: Path, name: str) -> Path:
    """Where the quick copy of one network of a published file lies."""
    return source.with_name(f".{source.name}.{name}.safetensors")


def forget(source: Path, name: str) -> None:
    """Delete the quick copy of one network of a published file, if there is one."""
    cache_path(source, name).unlink(missing_ok=True)


def _mapped(path: Path, name: str, digest: str) -> Weights | None:
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(HEADER_KEY, "{}"))
            if (header.get("version"), header.get("name"), header.get("digest")) != (VERSION, name, digest):
                return None
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no Mapping
    except (SafetensorError, OSError, ValueError, AttributeError):
        return None
    return Weights(tensors=tensors, facts=header["facts"])


def _write(path: Path, name: str, digest: str, weights: Weights) -> None:
    header = {"version": VERSION, "name": name, "digest": digest, "facts": dict(weights.facts)}
    # Tensors that share memory would be refused; a clone each costs little beside the reading.
    seen: set[int] = set()
    tensors: dict[str, Tensor] = {}
    for key, value in weights.tensors.items():
        value = value.detach().contiguous()  # noqa: PLW2901
        tensors[key] = value.clone() if value.untyped_storage().data_ptr() in seen else value
        seen.add(value.untyped_storage().data_ptr())
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".partial")
    os.close(handle)
    try:
        save_file(tensors, partial, metadata={HEADER_KEY: json.dumps(header)})
        Path(partial).chmod(0o644)
        Path(partial).replace(path)
    finally:
        Path(partial).unlink(missing_ok=True)
