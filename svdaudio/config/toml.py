"""A configuration as a TOML file that `--config` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from svdaudio.config.names import flatten


def toml_of(config: Mapping[str, Any]) -> str:
    """Every value of a configuration, one dotted parameter per line; None values are omitted.

    Args:
        config: nested, as in run records: numbers, texts, booleans and lists of them.
    """
    lines = [
        f"{name} = {json.dumps(value, ensure_ascii=False)}"
        for name, value in flatten(config).items()
        if value is not None
    ]
    return "\n".join(lines) + "\n"
