"""Further sources of a mix as users give them, by name: audio files and texts.

collect_sources(["rain=rain.wav", "owl.wav"])           # {"rain": "rain.wav", "owl": "owl.wav"}
collect_sources(["thunder=distant thunder", "owl"])     # {"thunder": "distant thunder", "owl": "owl"}
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BeforeValidator, Field

from svdaudio.config.objects import checked_names
from svdaudio.errors import ConfigError

SOUND_EXPECTED = "the path of an audio file, or NAME=PATH"
TEXT_EXPECTED = "a text, or NAME=TEXT"
_NOT_OF_A_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_NAME = 40


def collect_sources(texts: Iterable[str]) -> dict[str, str]:
    """Sources by name, from `NAME=VALUE` or `VALUE`; the default name is the file's name or the text.

    Raises:
        ConfigError: a value or a name is empty or invalid, or two sources have the same name.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            name, value = _NOT_OF_A_NAME.sub("-", Path(name).stem).strip("-")[:_LONGEST_NAME], name
        if not (name and value):
            raise ConfigError("a source cannot be read", expected=f"NAME=VALUE, such as rain={value}", got=repr(text))
        if name in found:
            raise ConfigError(f"there are two sources '{name}'", fix="give each its own name: NAME=VALUE")
        found[name] = value
    return checked_names(found)


def check_text(text: str, known: Sequence[str], *, other: str = "a bundle with a text encoder") -> None:
    """Check that an encoder with a fixed list of texts knows a text.

    Args:
        text: the user's text.
        known: the texts that have an embedding.
        other: what could embed other texts, for the error.

    Raises:
        ConfigError: the text is not in the list.
    """
    if text not in known:
        raise ConfigError(
            "the bundle has no embedding for that text",
            expected=" or ".join(known),
            got=repr(text),
            fix=f"use one of those, or {other}",
        )


def anchored_files(value: Any, folder: Path) -> Any:
    """A table of files, or an entry of one, with the paths resolved against a folder."""
    if isinstance(value, str) and not (";" in value or "=" in value):
        return str(folder / value)
    table = _table(value)
    if not isinstance(table, Mapping):
        return value
    return {name: str(folder / str(path)) for name, path in cast("Mapping[str, object]", table).items()}


def _table(value: object) -> object:
    """Accept a table of sources as text: "rain=rain.wav;owl.wav"."""
    if isinstance(value, str):
        value = [part for part in value.split(";") if part.strip()]
    return collect_sources(cast("Sequence[str]", value)) if isinstance(value, list | tuple) else value


Sources = Annotated[
    dict[str, Annotated[str, Field(min_length=1)]], BeforeValidator(_table), AfterValidator(checked_names)
]
"""Paths of audio files, or texts, by names."""
