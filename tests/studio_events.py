"""The events of a job of the studio, as its page follows them."""

from __future__ import annotations

import json
from typing import Any


def events(page: Any, job: str) -> list[tuple[str, dict[str, Any]]]:
    """Name and data of each event of a job, once it is over.

    Args:
        page: a client of the studio.
        job: its id.
    """
    found: list[tuple[str, dict[str, Any]]] = []
    with page.stream("GET", f"/api/jobs/{job}/events") as response:
        name = ""
        for line in response.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                found.append((name, json.loads(line.removeprefix("data: "))))
    return found
