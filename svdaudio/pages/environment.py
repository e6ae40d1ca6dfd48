"""Jinja templates of the pages: everything that is not marked as safe is escaped, control characters, too."""

from __future__ import annotations

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
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )


def _finalize(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
