"""Quick copies of weights that are slow to read: safetensors next to the published file, mapped into memory.

Published files are often in half precision, packed in an archive that has to be unpacked, or in an order that has to be
changed. The tensors that a network finally uses are written once next to the file, aligned as networks need them. After
that they are only mapped, and read on first use. The copy records the digest of the file that it was made from, and is
rebuilt when the name, the digest or this code's version differs. It may be deleted at any time.
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

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from svdaudio.memory_layout import ALIGNMENT_BYTES

VERSION = 2
HEADER_KEY = "svdaudio-cache"
PADDING = "svdaudio-padding-"

_TYPE_NAMES: Mapping[torch.dtype, str] = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The part of a published file that belongs to one network."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further data that the network needs, as JSON values (class names, shapes)."""


def cached(source: Path, *, name: str, digest: str | None, read: Callable[[], Weights]) -> Weights:
    """The weights of a published file, from its quick copy if that is up to date, else by `read`.

    Args:
        source: the published file.
        name: role of the network in it.
        digest: sha256 of the file, already checked; None to neither use nor write a copy.
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
        log.warning("cannot keep a quick copy of %s (%s); the file itself is read each time", source, reason)
        return weights
    # Return mapped tensors here, too, so that the tensors just read are freed.
    return _mapped(path, name, digest) or weights


def cache_path(source: Path, name: str) -> Path:
    """Path of the quick copy of one network of a published file."""
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
            tensors = {key: file.get_tensor(key) for key in file.keys() if not key.startswith(PADDING)}  # noqa: SIM118 - no Mapping
    except (SafetensorError, OSError, ValueError, AttributeError):
        return None
    return Weights(tensors=tensors, facts=header["facts"])


def _write(path: Path, name: str, digest: str, weights: Weights) -> None:
    header = {"version": VERSION, "name": name, "digest": digest, "facts": dict(weights.facts)}
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".partial")
    os.close(handle)
    try:
        save_aligned(weights.tensors, Path(partial), metadata={HEADER_KEY: json.dumps(header)})
        Path(partial).chmod(0o644)
        Path(partial).replace(path)
    finally:
        Path(partial).unlink(missing_ok=True)


def save_aligned(tensors: Mapping[str, Tensor], path: Path, *, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file in which every tensor begins at a multiple of 64 bytes.

    Mapped into memory, such tensors have the canonical layout (`svdaudio.memory_layout`) and are not copied. What
    safetensors itself writes is only aligned to the size of a number. As the format allows no gaps, they are filled
    with tensors of bytes named `PADDING` and a number; readers of this project's quick copies skip these.

    Raises:
        OSError: the file cannot be written.
        SafetensorError: the format does not support the type of a tensor.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, tensor in tensors.items():
        if tensor.dtype not in _TYPE_NAMES:
            raise SafetensorError(f"no safetensors type for {tensor.dtype}")
        if gap := -end % ALIGNMENT_BYTES:
            header[f"{PADDING}{len(header)}"] = {"dtype": "U8", "shape": [gap], "data_offsets": [end, end + gap]}
            end += gap
        begin, end = end, end + tensor.nbytes
        shape = list(tensor.shape)
        header[name] = {"dtype": _TYPE_NAMES[tensor.dtype], "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % ALIGNMENT_BYTES)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(bytes(-(file.tell()) % ALIGNMENT_BYTES))
            file.write(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
