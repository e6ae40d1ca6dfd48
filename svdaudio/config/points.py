"""Clicks: points in pixels of a picture, written as text or as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, cast

from pydantic import BeforeValidator, Field, Strict

from svdaudio.errors import ConfigError

Coordinate = Annotated[float, Strict(), Field(allow_inf_nan=False)]


class Point(NamedTuple):
    """A click in pixels of the upright picture: x to the right, y down, label 1 (inside the region) or 0 (outside)."""

    x: Coordinate
    y: Coordinate
    label: Literal[0, 1] = 1


def parse_point(text: str) -> Point:
    """A point written as `X,Y` or `X,Y,LABEL`.

    Raises:
        ConfigError: the text has another form.
    """
    parts = [part.strip() for part in text.split(",")]
    try:
        numbers = [float(part) for part in parts]
        if len(numbers) not in (2, 3) or (len(numbers) == 3 and numbers[2] not in (0, 1)):
            raise ValueError
    except ValueError:
        raise ConfigError(
            "a point cannot be read",
            expected="X,Y or X,Y,LABEL with label 1 or 0",
            got=repr(text),
            fix="write it like 120,80",
        ) from None
    return Point(numbers[0], numbers[1], 1 if len(numbers) == 2 or numbers[2] == 1 else 0)


def _points(value: object) -> object:
    """Accept points as text, "120,80" or "120,80;30,40,0", or as a list of such texts."""
    if isinstance(value, str):
        value = [part for part in value.split(";") if part.strip()]
    if isinstance(value, list | tuple):
        entries = cast("Sequence[object]", value)
        if len(entries) in (2, 3) and all(isinstance(entry, int | float) for entry in entries):
            return (tuple(entries),)
        return tuple(parse_point(entry) if isinstance(entry, str) else entry for entry in entries)
    return value


Points = Annotated[tuple[Point, ...], BeforeValidator(_points)]
POINTS_EXPECTED = "points such as 120,80 or [[120, 80, 1], [30, 40, 0]]"
