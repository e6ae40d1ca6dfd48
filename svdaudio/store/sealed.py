"""Records as JSON text that tells when it has been damaged.

The text carries a sha256 of what it says, under "check". A flipped bit may leave JSON that parses, with another
digit in a digest or in a parameter: without the check it would be believed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

FORMAT = 2
FORMAT_WITHOUT_CHECK = 1
"""Written by early versions; still read. Its digit is two bits from that of `FORMAT`."""

CHECK_DOMAIN = "svdaudio/record/2"


def seal(fields: Mapping[str, Any]) -> str:
    """Plain fields as text, readable by people.

    Raises:
        ValueError: a number is not finite.
    """
    content = {"format": FORMAT, **fields}
    return json.dumps({**content, "check": _check(content)}, indent=1, allow_nan=False)


def unseal(text: str | bytes) -> dict[str, Any]:
    """The fields of a sealed text.

    Raises:
        ValueError: it is truncated, damaged, or of an unknown format.
    """
    fields = json.loads(text)
    if not isinstance(fields, dict) or "format" not in fields:
        raise ValueError("the record is incomplete")
    content = cast("dict[str, Any]", fields)
    check = content.pop("check", None)
    if content["format"] not in (FORMAT, FORMAT_WITHOUT_CHECK):
        raise ValueError(f"record format {content['format']}, not {FORMAT}")
    if content["format"] == FORMAT and check != _check(content):
        raise ValueError("the record is damaged: it is not what its check sum says")
    del content["format"]
    return content


def _check(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(f"{CHECK_DOMAIN}\n{text}".encode()).hexdigest()
