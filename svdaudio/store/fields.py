"""Types of the fields of a record, which are checked one by one when the record is read.

A valid checksum proves that a record is undamaged, not that it can be trusted. Keys, run ids and output names become
parts of paths, so each of them has a type here, and a record with any other value counts as damaged.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar, cast

T = TypeVar("T")

MOST_DIMENSIONS = 64
"""Of an array; numpy has the same limit."""

_KEY = re.compile(r"[0-9a-f]{64}")
_ATTEMPT = re.compile(r"[0-9a-f]{16}")
_RUN_ID = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,159}")
_NAME = re.compile(r"(?=.{1,160}$)[0-9A-Za-z_-]+(?:\.[0-9A-Za-z_-]+)*")
_DIGEST = re.compile(r"[0-9A-Za-z][0-9A-Za-z ._:+-]{0,159}")
_DTYPE = re.compile(r"[<>|=]?[A-Za-z?][0-9]{0,4}")


def is_key(value: object) -> bool:
    """Whether a value is an action key: 64 hexadecimal digits."""
    return isinstance(value, str) and _KEY.fullmatch(value) is not None


def is_attempt(value: object) -> bool:
    """Whether a value names the arrays of one writer in a bucket: 16 hexadecimal digits."""
    return isinstance(value, str) and _ATTEMPT.fullmatch(value) is not None


def is_run_id(value: object) -> bool:
    """Whether a value is a valid run id: letters, digits, `-`, `_` and `.`, not beginning with a dot."""
    return isinstance(value, str) and _RUN_ID.fullmatch(value) is not None


def key(value: object) -> str:
    """An action key.

    Raises:
        TypeError: the value is not valid; so do all functions below.
    """
    return _matched(value, _KEY, "an action key")


def run_id(value: object) -> str:
    """A run id."""
    return _matched(value, _RUN_ID, "a run id")


def name(value: object) -> str:
    """The name of a stage, a node, an input, an output or a file: words with dots between them."""
    return _matched(value, _NAME, "a name")


def digest(value: object) -> str:
    """A digest. It is only compared and shown, never part of a path, so any text without slashes is allowed."""
    return _matched(value, _DIGEST, "a digest")


def dtype(value: object) -> str:
    """The dtype of an array, as numpy writes it."""
    return _matched(value, _DTYPE, "the dtype of an array")


def shape(value: object) -> tuple[int, ...]:
    """The shape of an array."""
    sizes = tuple(integer(size) for size in items(value))
    if len(sizes) > MOST_DIMENSIONS or any(size < 0 for size in sizes):
        raise TypeError(f"{_short(value)} is not the shape of an array")
    return sizes


def text(value: object) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise TypeError(f"{_short(value)} is not text")
    return value


def time(value: object) -> str:
    """A time in ISO 8601; empty if unknown."""
    try:
        if value != "":
            datetime.fromisoformat(text(value))
    except ValueError:
        raise TypeError(f"{_short(value)} is not a time") from None
    return cast("str", value)


def integer(value: object) -> int:
    """A whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{_short(value)} is not a whole number")
    return value


def number(value: object) -> float:
    """A finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError(f"{_short(value)} is not a finite number")
    return value


def one_of(value: object, choices: tuple[T, ...]) -> T:
    """One of the given choices."""
    if value not in choices:
        raise TypeError(f"{_short(value)} is not one of {', '.join(map(str, choices))}")
    return cast("T", value)


def items(value: object) -> list[object]:
    """A list."""
    if not isinstance(value, list):
        raise TypeError(f"{_short(value)} is not a list")
    return cast("list[object]", value)


def mapping(value: object) -> dict[str, Any]:
    """A mapping. Keys in JSON are always text."""
    if not isinstance(value, dict):
        raise TypeError(f"{_short(value)} is not a mapping")
    return cast("dict[str, Any]", value)


def texts(value: object) -> tuple[str, ...]:
    """A list of strings."""
    return tuple(text(each) for each in items(value))


def named(value: object, read: Callable[[object], T]) -> dict[str, T]:
    """Values of one type by names of inputs, outputs, models or files."""
    return {name(each): read(content) for each, content in mapping(value).items()}


def only(fields: Mapping[str, Any], readers: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """Fields, each parsed by the reader of its name. A field without a reader is rejected; a missing one is omitted."""
    unknown = fields.keys() - readers.keys()
    if unknown:
        raise TypeError(f"unknown field {_short(min(unknown))}")
    read: dict[str, Any] = {}
    for each, value in fields.items():
        try:
            read[each] = readers[each](value)
        except TypeError as error:
            raise TypeError(f"{each}: {error}") from None
    return read


def _matched(value: object, pattern: re.Pattern[str], what: str) -> str:
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise TypeError(f"{_short(value)} is not {what}")
    return value


def _short(value: object) -> str:
    shown = ascii(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
