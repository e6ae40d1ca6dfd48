"""Jinja templates of the pages: everything that is not marked as safe is escaped, control characters, too."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from svdaudio.text import printable

TEMPLATES = Path(__file__).parent / "templates"


@cache
def environment() -> Environment:
    """The environment that all templates are rendered in; a name that a template lacks is an error."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    made.filters["as_data"] = _as_data
    return made


def _finalize(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _as_data(value: object) -> Markup:
    """A value as JSON inside a `<script type="application/json">`, which ends at the first `</script`."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - without the characters that HTML acts on
