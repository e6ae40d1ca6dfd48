"""Objects of a picture as users specify them: by clicks, by a box, or by a mask file.

    parse_object("cat=756,581")         # a click; "756,581,0" excludes what it hits
    parse_object("cat=10,20,300,400")   # a box: left, top, right, bottom
    parse_object("cat=cat.png")         # a mask file

A region is one object given by clicks alone, or a table of objects by their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar, cast

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from svdaudio.config.points import Coordinate, Point, Points, parse_point
from svdaudio.config.sections import Section
from svdaudio.errors import ConfigError

OBJECT_EXPECTED = "a click X,Y, a box LEFT,TOP,RIGHT,BOTTOM, or a mask file"
REGION_EXPECTED = f"{OBJECT_EXPECTED}; several objects as NAME=…"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
_NUMBERS = re.compile(r"[-+0-9.eE,\s]+")
_SUFFIX = re.compile(r"\.[A-Za-z]\w*$")
_N_BOX_NUMBERS = 4

Table = TypeVar("Table")


class Box(NamedTuple):
    """A box in pixels of the upright picture."""

    left: Coordinate
    top: Coordinate
    right: Coordinate
    bottom: Coordinate


def _box(value: object) -> object:
    """Accept a box as text."""
    return _prompt(value).get("box", value) if isinstance(value, str) else value


class ObjectPrompt(Section):
    """One object: clicks or a box, or both together, or a mask file."""

    points: Points = ()
    box: Annotated[Box | None, BeforeValidator(_box)] = None
    mask: Annotated[str, Field(min_length=1)] | None = None
    """Path of a mask file."""

    @model_validator(mode="after")
    def _one_kind(self) -> ObjectPrompt:
        if self.mask is not None and (self.points or self.box is not None):
            raise ConfigError(
                "an object has a mask file and also clicks or a box",
                expected="one or the other",
                got=self.mask,
                fix="give each object its own name: cat=…, dog=…",
            )
        if self.mask is None and self.box is None and not self.points:
            raise ConfigError("an object has neither clicks nor a box nor a mask file", expected=OBJECT_EXPECTED)
        return self


def parse_object(text: str) -> tuple[str, dict[str, Any]]:
    """`NAME=PROMPT` or `PROMPT` → the name, or "", and one field of `ObjectPrompt`.

    Raises:
        ConfigError: the name or the prompt cannot be read.
    """
    name, equals, prompt = text.partition("=") if _NAME.match(text) else ("", "", text)
    if equals and not prompt.strip():
        raise ConfigError("an object cannot be read", expected=f"NAME={OBJECT_EXPECTED}", got=repr(text))
    return (_checked_name(name.strip()), _prompt(prompt)) if equals else ("", _prompt(text))


def mask_text(text: str) -> str:
    """`FILE` or `NAME=FILE` as a text that `parse_object` reads as a mask file, whatever the file's name."""
    name, equals, path = text.partition("=") if _NAME.match(text) and "=" in text else ("", "", text)
    return f"{name}{equals}{path if path.startswith('/') else f'./{path}'}"


def collect_objects(texts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Objects by name, from texts that `parse_object` reads; all clicks of a name belong to one object.

    Raises:
        ConfigError: a text cannot be read, or an object has two boxes or two masks.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, prompt = parse_object(text)
        fields = found.setdefault(name, {})
        for field, value in prompt.items():
            if field == "points":
                fields[field] = [*fields.get(field, []), *value]
            elif field in fields:
                kind = "mask files" if field == "mask" else "boxes"
                raise ConfigError(
                    f"the object '{name}' has two {kind}" if name else f"one object has two {kind}",
                    fix="give each object its own name: cat=…, dog=…",
                )
            else:
                fields[field] = value
    return found


def anchored(value: Any, folder: Path) -> Any:
    """A region, a table of objects or an entry of one, with paths of mask files resolved against a folder."""
    if isinstance(value, str):
        return ";".join(_anchored_text(part, folder) for part in _split(value))
    if isinstance(value, list | tuple):
        return [anchored(entry, folder) for entry in cast("Sequence[Any]", value)]
    if isinstance(value, Mapping):
        return {name: anchored(one, folder) for name, one in cast("Mapping[str, Any]", value).items()}
    return value


def _anchored_text(text: str, folder: Path) -> str:
    name, prompt = parse_object(text)
    return "=".join(filter(None, (name, str(folder / prompt["mask"])))) if "mask" in prompt else text


def _prompt(text: str) -> dict[str, Any]:
    stripped = text.strip()
    if not _NUMBERS.fullmatch(stripped):
        if "/" not in stripped and not _SUFFIX.search(stripped):  # more likely a mistyped click
            raise ConfigError("an object cannot be read", expected=OBJECT_EXPECTED, got=repr(text))
        return {"mask": stripped}
    parts = stripped.split(",")
    if len(parts) != _N_BOX_NUMBERS:
        return {"points": [list(parse_point(stripped))]}
    try:
        left, top, right, bottom = (float(part) for part in parts)
    except ValueError:
        raise ConfigError("a box cannot be read", expected="LEFT,TOP,RIGHT,BOTTOM", got=repr(text)) from None
    if not (left < right and top < bottom):
        raise ConfigError("a box is empty", expected="LEFT < RIGHT and TOP < BOTTOM", got=stripped)
    return {"box": [left, top, right, bottom]}


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            "that is not a valid object name", expected="a letter, then letters, digits, - or _", got=repr(name)
        )
    return name


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]


def _object(value: object) -> object:
    """Accept one object as text or as a list of clicks."""
    if isinstance(value, str):
        value = _split(value)
    if isinstance(value, list | tuple):
        entries = cast("Sequence[object]", value)
        if entries and all(isinstance(entry, str) for entry in entries):
            return collect_objects(cast("Sequence[str]", entries))[""]
        return {"points": list(entries)}
    return value


def _region(value: object) -> object:
    """Accept a region as text: "120,80", "120,80;30,40,0", "cat.png", "cat=120,80;dog=30,40"."""
    if isinstance(value, str):
        value = _split(value)
    if isinstance(value, list | tuple):
        entries = cast("Sequence[object]", value)
        if len(entries) in (2, 3) and all(isinstance(entry, int | float) for entry in entries):
            return (tuple(entries),)
        if any(isinstance(entry, str) for entry in entries):
            texts = [entry if isinstance(entry, str) else ",".join(map(str, cast("Any", entry))) for entry in entries]
            found = collect_objects(texts)
            if found.keys() == {""} and found[""].keys() == {"points"}:
                return tuple(Point(*point) for point in found[""]["points"])
            if "" in found and len(found) > 1:
                raise ConfigError(
                    "some objects have names and others have none", got="; ".join(texts), fix="name all objects"
                )
            return {name or "object": fields for name, fields in found.items()}
    return value


def _table(value: object) -> object:
    """Accept a table of objects as text: "cat=120,80;dog=30,40"."""
    if isinstance(value, str):
        value = _split(value)
    if isinstance(value, list | tuple):
        found = collect_objects(cast("Sequence[str]", value))
        if "" in found:
            raise ConfigError("an object has no name", expected=f"NAME={OBJECT_EXPECTED}")
        return found
    return value


def checked_names(table: Table) -> Table:
    """Check the names in a table of objects, and return the table; any other value is returned unchanged.

    Raises:
        ConfigError: a name is not valid.
    """
    for name in cast("dict[str, Any]", table) if isinstance(table, dict) else ():
        _checked_name(name)
    return table


AnObject = Annotated[ObjectPrompt, BeforeValidator(_object)]
Objects = Annotated[dict[str, AnObject], BeforeValidator(_table), AfterValidator(checked_names)]
"""Objects by their names."""
Region = Annotated[tuple[Point, ...] | dict[str, AnObject], BeforeValidator(_region), AfterValidator(checked_names)]
"""One object given by clicks, or several objects by their names."""
