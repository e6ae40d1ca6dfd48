"""Parameters by dotted names: nesting, flattening, and the most similar name to a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any, cast

from svdaudio.errors import ConfigError


def flatten(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted name → value.

    Raises:
        ConfigError: a name is given twice, once nested and once dotted.
    """
    flat: dict[str, Any] = {}
    for name, value in tables.items():
        found = (
            flatten(cast("Mapping[str, Any]", value), f"{prefix}{name}.")
            if isinstance(value, Mapping)
            else {prefix + name: value}
        )
        for twice in flat.keys() & found.keys():
            raise ConfigError(
                f"'{twice}' is given twice", got=f"{flat[twice]} and {found[twice]}", fix="keep one of them"
            )
        flat.update(found)
    return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted name → value as nested tables."""
    tables: dict[str, Any] = {}
    for name, value in flat.items():
        *sections, leaf = name.split(".")
        place = tables
        for section in sections:
            place = place.setdefault(section, {})
        place[leaf] = value
    return tables


def nearest_name(name: str, known: Collection[str]) -> str | None:
    """The known parameter whose name is most similar to `name`; None if none is similar."""
    tail = name.rpartition(".")[2].lower()
    same_tail = [one for one in known if one.rpartition(".")[2] == tail]
    if same_tail:
        return max(same_tail, key=lambda one: difflib.SequenceMatcher(None, name.lower(), one).ratio())
    near = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.5)
    if near:
        return near[0]
    tails = difflib.get_close_matches(tail, [one.rpartition(".")[2] for one in known], n=1, cutoff=0.6)
    return next((one for one in known if tails and one.rpartition(".")[2] == tails[0]), None)


def unknown_parameter(name: str, known: Collection[str], source: str | None = None) -> ConfigError:
    """The error for a parameter that does not exist, with the most similar one that does.

    Args:
        name: the name, as the user wrote it.
        known: names of all parameters.
        source: where the user wrote it.
    """
    near = nearest_name(name, known)
    return ConfigError(
        f"unknown parameter '{name}'" + (f" (from {source})" if source else ""),
        fix=f"perhaps you mean '{near}'" if near else "`svdaudio parameters` lists them",
    )
