"""Keys, which decide whether two computations are the same.

A key is the sha256 of a canonical text of [stage, stage version, parameters, digests of the inputs, digests of
the models]. Inputs enter by content, not by how they were made; so a stage whose inputs are unchanged is
not run again, whatever changed upstream (early cutoff). Every hash begins with a tag of its domain and version.
Golden values in tests/unit/store/test_keys.py pin them: a change there invalidates every existing store.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from svdaudio.errors import ConfigError, InputError
from svdaudio.files import found_instead

if TYPE_CHECKING:
    from numpy.typing import NDArray

ACTION_DOMAIN = "svdaudio/action/1"
ARRAY_DOMAIN = "svdaudio/array/1"
LARGEST_EXACT = 2.0**53
ARRAY_KINDS = "biufc"


@dataclass(frozen=True, kw_only=True)
class Action:
    """One computation, described by its inputs. Equal actions have the same outputs."""

    stage: str
    version: int
    parameters: Mapping[str, Any]
    """Local name → plain JSON data."""
    inputs: Mapping[str, str]
    """Input name → digest of its content."""
    models: Mapping[str, str]
    """Role → sha256 of the weights."""

    @cached_property
    def key(self) -> str:
        """The action key, 64 hexadecimal digits."""
        text = canonical([self.stage, self.version, self.parameters, self.inputs, self.models])
        return hashlib.sha256(f"{ACTION_DOMAIN}\n{text}".encode()).hexdigest()


def canonical(value: object) -> str:
    """The canonical text of plain data: keys sorted, no spaces, ASCII, numbers by value (1 and 1.0 are the same).

    Raises:
        ConfigError: a number is not finite, or the value is not plain data.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigError("a parameter is not a finite number", got=value)
        return int(value) if value.is_integer() and abs(value) <= LARGEST_EXACT else value
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in cast("list[object]", value)]
    if isinstance(value, Mapping):
        entries = cast("Mapping[object, object]", value)
        if not all(isinstance(name, str) for name in entries):
            raise ConfigError("a parameter name is not text", got=list(entries))
        return {cast("str", name): _plain(entry) for name, entry in entries.items()}
    raise ConfigError("a parameter is not plain data", got=type(value).__name__)


def digest_array(array: NDArray[Any]) -> str:
    """sha256 over dtype, shape and C-order bytes; byte order and memory layout do not matter.

    Raises:
        TypeError: the array holds objects, text or records.
    """
    import numpy as np

    if array.dtype.kind not in ARRAY_KINDS:
        raise TypeError(f"an artifact holds numbers and booleans, not {array.dtype}")
    portable = array.dtype.newbyteorder("<")
    data = np.ascontiguousarray(array, dtype=portable)
    digest = hashlib.sha256(f"{ARRAY_DOMAIN}\n{portable.str}{list(array.shape)}\n".encode())
    digest.update(data.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def digest_file(path: Path, *, name: str = "file") -> str:
    """sha256 of a file's bytes.

    Raises:
        InputError: the file does not exist, is not a plain file, or cannot be read.
    """
    if (another := found_instead(path)) is not None:
        raise InputError(f"{path} is not a file", expected=f"the {name}", got=another)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise InputError(f"file not found: {path}", fix=f"check the path of the {name}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read", got=error.strerror or str(error)) from error
