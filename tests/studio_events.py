"""Reads the events of a studio job, as the page does."""

from __future__ import annotations

import json
from typing import Any


def events(page: Any, job: str) -> list[tuple[str, dict[str, Any]]]:
    """Name and data of each event of a job, once it is over.

    Args:
        page: A client of the studio.
        job: The id of the job.
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
