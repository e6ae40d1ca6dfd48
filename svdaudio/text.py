"""Escape characters that a terminal would act on, such as those in names of files and messages of libraries."""

from __future__ import annotations

import re

_ACTIVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and line feed, marks that change the writing direction, and lone surrogates."""


def printable(text: str) -> str:
    """The text with characters that a terminal would act on, or cannot encode, as escapes."""
    return _ACTIVE.sub(lambda found: _escape(found.group()), text)


def printable_json(text: str) -> str:
    """The same for JSON text, which stays valid, because such characters occur only in its strings."""
    return _ACTIVE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
