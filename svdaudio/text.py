"""Text that a terminal shows as it is: what names of files and messages of libraries may hold is made harmless."""

from __future__ import annotations

import re

_ACTIVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and line feed, marks that turn the direction of writing, and lone surrogates."""


def printable(text: str) -> str:
    """The text with characters that a terminal would act on, or cannot encode, written as escapes."""
    return _ACTIVE.sub(lambda found: _escape(found.group()), text)


def printable_json(text: str) -> str:
    """The same for JSON text, which stays JSON: such characters stand in its strings alone."""
    return _ACTIVE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
