"""Many settings of one request: a grid, or random draws from ranges of parameters.

ranges = [parse_range("svd.alpha=0.1,0.3,0.5", known), parse_range("svd.k=1..8", known)]
settings = combinations(ranges)                            # 24 of them: dotted name → value
"""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from svdaudio.config import Parameter, RunConfig, parse_value, resolve, unknown_parameter
from svdaudio.errors import ConfigError

MAX_SETTINGS = 1_000_000
_ROUNDING = 1e-9  # of a step, so that 0.1..0.5:0.1 ends with 0.5


@dataclass(frozen=True, kw_only=True)
class ParameterRange:
    """The values of one parameter in a sweep."""

    name: str
    values: tuple[Any, ...] = ()
    """In order; empty for an interval without steps, which only random settings can use."""
    interval: tuple[float, float] | None = None
    """Lowest and highest value, if it was written as `LOW..HIGH`."""

    @property
    def is_whole(self) -> bool:
        """Whether values drawn from the interval are whole numbers."""
        return self.interval is not None and all(isinstance(end, int) for end in self.interval)


def parse_range(text: str, known: Mapping[str, Parameter]) -> ParameterRange:
    """Parse `svd.k=1..8`, `svd.alpha=0.1..0.5:0.1`, `svd.alpha=0.1,0.3` or `geometry=squash,crop`.

    `LOW..HIGH` means all whole numbers, both ends included; fractions need a step, `LOW..HIGH:STEP`, except for random
    settings.

    Args:
        text: the range.
        known: parameters of the method.

    Raises:
        ConfigError: the parameter is unknown or cannot be swept, or the values cannot be read.
    """
    name, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not values:
        raise ConfigError(
            "a range cannot be read", expected="name=values", got=repr(text), fix="write it like svd.k=1..8"
        )
    return range_of(name, values, known)


def range_of(
    name: str, values: str | Sequence[Any], known: Mapping[str, Parameter], *, source: str = "--grid"
) -> ParameterRange:
    """The values of a parameter, as text in the notation of `parse_range` or one by one.

    Args:
        name: dotted.
        values: the text after the `=`, or the values.
        known: parameters of the method.
        source: where they were written, for errors.

    Raises:
        ConfigError: the parameter is unknown or cannot be swept, or the values cannot be read.
    """
    if name not in known:
        raise unknown_parameter(name, known, source)
    is_points = isinstance(known[name].default, tuple)
    if is_points or known[name].execution_only:
        why = "clicks contain commas and belong to one picture" if is_points else "it changes no result"
        raise ConfigError(f"'{name}' cannot be swept", got=why, fix="use `svdaudio batch` for many pairs")
    if not isinstance(values, str):
        return ParameterRange(name=name, values=tuple(values))
    if ".." in values:
        return _interval(name, values)
    return ParameterRange(
        name=name, values=tuple(parse_value(value.strip()) for value in values.split(",") if value.strip())
    )


def _interval(name: str, text: str) -> ParameterRange:
    ends, _, step_text = text.partition(":")
    low_text, _, high_text = ends.partition("..")
    try:
        low, high = _number(low_text), _number(high_text)
        step = _number(step_text) if step_text.strip() else None
        if not (math.isfinite(low) and math.isfinite(high) and low <= high) or (step is not None and not step > 0):
            raise ValueError
    except (ValueError, TypeError):
        raise ConfigError(
            f"the range of '{name}' cannot be read",
            expected="LOW..HIGH or LOW..HIGH:STEP, LOW at most HIGH, STEP above 0",
            got=repr(text),
        ) from None
    if step is None and isinstance(low, int) and isinstance(high, int):
        step = 1
    values: tuple[Any, ...] = ()
    if step is not None:
        n_steps = math.floor((high - low) / step + _ROUNDING)
        if n_steps >= MAX_SETTINGS:
            raise ConfigError(f"the range of '{name}' has too many values", expected=f"at most {MAX_SETTINGS}")
        whole = isinstance(low, int) and isinstance(step, int)
        values = tuple(low + i * step if whole else round(low + i * step, 12) for i in range(n_steps + 1))
    return ParameterRange(name=name, values=values, interval=(low, high))


def _number(text: str) -> int | float:
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        raise ValueError(text) from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(text)
    return value


def combinations(ranges: Sequence[ParameterRange], *, together: bool = False) -> list[dict[str, Any]]:
    """Every combination of the values of ranges; the last range changes fastest.

    Args:
        ranges: from `parse_range`.
        together: instead, combine the first values of all ranges, then the second ones, and so on.

    Raises:
        ConfigError: a parameter has two ranges, an interval of fractions has no step, ranges differ in length for
            `together`, or there are more than a million settings.
    """
    names = _names(ranges)
    for one in ranges:
        if not one.values:
            raise ConfigError(
                f"the range of '{one.name}' has no steps", fix="write LOW..HIGH:STEP, or draw with --random N"
            )
    lengths = [len(one.values) for one in ranges]
    if together and len(set(lengths)) > 1:
        raise ConfigError(
            "--zip cannot combine ranges of different lengths", got=dict(zip(names, lengths, strict=True))
        )
    n_settings = lengths[0] if together else math.prod(lengths)
    if n_settings > MAX_SETTINGS:
        raise ConfigError("too many settings", expected=f"at most {MAX_SETTINGS}", got=n_settings)
    columns = [one.values for one in ranges]
    rows = zip(*columns, strict=True) if together else itertools.product(*columns)
    return [dict(zip(names, row, strict=True)) for row in rows]


def draw_settings(ranges: Sequence[ParameterRange], n_settings: int, seed: int) -> list[dict[str, Any]]:
    """Random settings: uniform between the ends of an interval, or any value of a list.

    Raises:
        ConfigError: a parameter has two ranges, or the number of settings is invalid.
    """
    names = _names(ranges)
    if not 1 <= n_settings <= MAX_SETTINGS:
        raise ConfigError("the number of settings is invalid", expected=f"1 to {MAX_SETTINGS}", got=n_settings)
    random = np.random.default_rng(seed)
    columns: list[list[Any]] = []
    for one in ranges:
        if one.interval is None or (one.values and not one.is_whole):
            columns.append([one.values[i] for i in random.integers(len(one.values), size=n_settings)])
        elif one.is_whole:
            low, high = (int(end) for end in one.interval)
            columns.append([int(value) for value in random.integers(low, high + 1, size=n_settings)])
        else:
            columns.append([float(value) for value in random.uniform(*one.interval, size=n_settings)])
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _names(ranges: Sequence[ParameterRange]) -> list[str]:
    names = [one.name for one in ranges]
    if not names:
        raise ConfigError("no range given", fix="give --grid, such as --grid svd.alpha=0.1,0.3,0.5")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"'{name}' has two ranges", fix="give all its values in one")
    return names


def check_values(
    ranges: Sequence[ParameterRange], given: Mapping[str, Any], schema: type[RunConfig], *, source: str = "--grid"
) -> None:
    """Refuse invalid values in ranges: each value of a list, the ends of an interval.

    Args:
        ranges: from `parse_range`.
        given: dotted name → value of parameters that are not swept.
        schema: the method's configuration.
        source: where the ranges were written, for errors.

    Raises:
        ConfigError: an invalid value.
    """
    for one in ranges:
        values = one.values if one.interval is None else (*one.values[:2], *one.values[-1:], *one.interval)
        for value in values:
            resolve(schema, given={**given, one.name: value}, given_source=source)


def setting_name(setting: Mapping[str, Any]) -> str:
    """A setting as a short text, unique among settings of the same parameters."""
    return " ".join(
        f"{name}={value:g}" if isinstance(value, float) and float(f"{value:g}") == value else f"{name}={value}"
        for name, value in setting.items()
    )
