"""The tabs of the studio: methods that generate sound from regions of pictures, described by their configurations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from svdaudio.config import RunConfig
from svdaudio.engine.method import Method
from svdaudio.methods import find_method, method_names
from svdaudio.methods.parts import PICTURE

BASIC_SECTIONS = ("svd", "mix", "edit", "gains", "form", "rest")
"""Sections, and parameters without a section, that are shown at once; all others are advanced."""
BASIC = ("seed", "generate.candidates", "generate.duration_s", "finish.loudness_lufs")
HIDDEN_SECTIONS = ("execution", "bundle")
BOUNDS = ("ge", "gt", "le", "lt")


def tabs() -> list[Method]:
    """The methods that have a tab, in their listed order."""
    methods = [find_method(name) for name in method_names()]
    return [one for one in methods if one.result and one.regions and set(one.files.values()) == {PICTURE}]


def describe(method: Method) -> dict[str, Any]:
    """Describes a tab as JSON data: files, regions and parameters of its method."""
    fields = dict(_fields(method.config))
    parameters = method.config.parameters()
    objects = next((name for name in method.regions if parameters[name].default == {}), None)
    return {
        "method": method.name,
        "label": method.label or method.name.capitalize(),
        "summary": method.summary,
        "files": list(method.files),
        "regions": [
            {"name": name, "label": parameters[name].meaning, "picture": picture}
            for name, picture in method.regions.items()
            if name != objects
        ],
        "objects": objects,
        "regions_optional": method.regions_optional,
        "bundle": None if (own := parameters["bundle"].default) == RunConfig.parameters()["bundle"].default else own,
        "parameters": [
            {
                "name": one.name,
                "group": one.name.partition(".")[0] if "." in one.name else "",
                "default": _plain(one.default),
                "meaning": one.meaning,
                "expected": one.expected,
                "low": one.recommended[0] if one.recommended else None,
                "high": one.recommended[1] if one.recommended else None,
                "limits": _limits(fields[one.name]),
                **_kind(fields[one.name].annotation),
                "advanced": one.name not in BASIC and one.name.partition(".")[0] not in BASIC_SECTIONS,
            }
            for one in parameters.values()
            if one.name not in method.regions and not one.is_table and one.name.partition(".")[0] not in HIDDEN_SECTIONS
        ],
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _fields(info.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, info


def _limits(info: FieldInfo) -> dict[str, Any]:
    """The declared bounds of a number, under pydantic's names."""
    found = {name: getattr(one, name, None) for one in info.metadata for name in BOUNDS if hasattr(one, name)}
    return {name: bound for name, bound in found.items() if bound is not None}


def _kind(annotation: Any) -> dict[str, Any]:
    """The kind of control for a parameter, and its choices."""
    if get_origin(annotation) is Literal:
        return {"kind": "choice", "choices": list(get_args(annotation))}
    kinds: dict[Any, Literal["boolean", "integer", "number"]] = {bool: "boolean", int: "integer", float: "number"}
    return {"kind": kinds.get(annotation, "text"), "choices": None}
