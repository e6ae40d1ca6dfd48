"""Settings as a page sends them: masks by the ids of what was uploaded, and no other file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from svdaudio.config.run import Parameters
from svdaudio.errors import InputError
from svdaudio.studio.people import Person

_CLICKS = re.compile(r"([A-Za-z][\w-]*=)?[-+0-9.eE,\s]*")
"""A click or a box as text, with or without the name of its object; any other text of an object is a file."""


def with_masks(settings: Mapping[str, Any], parameters: Parameters, person: Person) -> dict[str, Any]:
    """Settings in which uploaded masks are the studio's own files.

    Args:
        settings: dotted parameter → value; a mask is the id of one that the person uploaded.
        parameters: of the method.
        person: whose masks they are.

    Raises:
        InputError: a file is named in any other way, or there is no such mask.
    """
    return {name: _read(value, name, parameters, person) for name, value in settings.items()}


def check_no_files(settings: Mapping[str, Any], parameters: Parameters) -> None:
    """Refuse settings that name a file.

    Raises:
        InputError: there is one.
    """
    for name, value in settings.items():
        _read(value, name, parameters, None)


def _read(value: object, name: str, parameters: Parameters, person: Person | None) -> Any:
    if isinstance(value, Mapping):
        entries = cast("Mapping[str, object]", value)
        return {each: _read(one, f"{name}.{each}", parameters, person) for each, one in entries.items()}
    if isinstance(value, list | tuple):
        return [_read(one, name, parameters, person) for one in cast("Sequence[object]", value)]
    if not isinstance(value, str):
        return value
    has_paths = name in parameters and parameters[name].paths is not None
    if has_paths and name.endswith(".mask") and person is not None and value.isalnum():
        return str(person.mask(value).path)
    if "/" in value or "\\" in value or (has_paths and not _is_clicks(name, value)):
        raise InputError("a file cannot be named here", fix="click, drag a box, or upload a mask file")
    return value


def _is_clicks(name: str, text: str) -> bool:
    return not name.endswith(".mask") and all(_CLICKS.fullmatch(part.strip()) for part in text.split(";"))
