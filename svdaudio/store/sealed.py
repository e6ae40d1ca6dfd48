"""Records as JSON text with a checksum that reveals damage.

The text includes a sha256 of its content, under "check". Without it, a flipped bit that leaves valid JSON with another
digit in a digest or parameter would go unnoticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

FORMAT = 2
FORMAT_WITHOUT_CHECK = 1
"""Written by early versions; still read. Its digit is two bits from that of `FORMAT`."""

DEEPEST = 100
"""How deep a record may be nested; deeper ones would exhaust the stack of recursive readers."""

CHECK_DOMAIN = "svdaudio/record/2"


class NewerFormatError(ValueError):
    """A record in a format that only newer versions of svdaudio can read. It is not damaged, and is left unchanged."""


def seal(fields: Mapping[str, Any]) -> str:
    """Plain fields as human-readable text.

    Raises:
        ValueError: a number is not finite.
    """
    content = {"format": FORMAT, **fields}
    return json.dumps({**content, "check": _check(content)}, indent=1, allow_nan=False)


def unseal(text: str | bytes) -> dict[str, Any]:
    """The fields of a sealed text.

    Raises:
        NewerFormatError: a newer version of svdaudio wrote it.
        ValueError: it is truncated, damaged, or of an unknown format.
    """
    try:
        fields = json.loads(text)
    except RecursionError:
        raise ValueError("the record is nested too deeply") from None
    if not isinstance(fields, dict) or "format" not in fields:
        raise ValueError("the record is incomplete")
    content = cast("dict[str, Any]", fields)
    n_brackets = text.count(b"[") + text.count(b"{") if isinstance(text, bytes) else text.count("[") + text.count("{")
    if n_brackets > DEEPEST and is_deeper_than(content, DEEPEST):
        raise ValueError("the record is nested too deeply")
    check = content.pop("check", None)
    found = content["format"]
    if isinstance(found, int) and found > FORMAT:
        raise NewerFormatError(f"record format {found}, not {FORMAT}")
    if found not in (FORMAT, FORMAT_WITHOUT_CHECK):
        raise ValueError(f"record format {found}, not {FORMAT}")
    if found == FORMAT and check != _check(content):
        raise ValueError("the record is damaged: its content does not match its checksum")
    del content["format"]
    return content


def is_of_newer_format(text: bytes) -> bool:
    """Whether a newer version of svdaudio wrote a sealed text."""
    try:
        unseal(text)
    except NewerFormatError:
        return True
    except ValueError:
        return False
    return False


def is_deeper_than(value: object, depth: int) -> bool:
    """Whether plain data is nested deeper than a number of levels."""
    level: list[object] = [value]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (cast("dict[str, object]", outer).values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _check(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(f"{CHECK_DOMAIN}\n{text}".encode()).hexdigest()
