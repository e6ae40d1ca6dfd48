"""Settings from the page: masks are named by the ids of uploads, and no other file may be named."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from svdaudio.config.run import Parameters
from svdaudio.errors import InputError
from svdaudio.studio.people import Person

_CLICKS = re.compile(r"([A-Za-z][\w-]*=)?[-+0-9.eE,\s]*")
"""A click or a box as text, with or without an object name; any other text of an object is a file."""


def with_masks(settings: Mapping[str, Any], parameters: Parameters, person: Person) -> dict[str, Any]:
    """Replaces the ids of uploaded masks by the studio's files.

    Args:
        settings: dotted parameter → value; a mask is the id of an upload.
        parameters: the method's parameters.
        person: the owner of the masks.

    Raises:
        InputError: a file is named in any other way, or a mask is unknown.
    """
    return {name: _read(value, name, parameters, person) for name, value in settings.items()}


def check_no_files(settings: Mapping[str, Any], parameters: Parameters) -> None:
    """Checks that settings name no file.

    Raises:
        InputError: a setting names a file.
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
