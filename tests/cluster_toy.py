"""Stage bodies of the toy workflow that other processes can import: each notes that it ran, and may wait for death."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from conftest import BODIES


@dataclass(frozen=True, kw_only=True)
class NotedBodies:
    """Finds the bodies of stages. `folder` collects what they note.

    The first `n_deaths` computations of the stage `deadly` write their process id and wait for it to be killed.
    """

    folder: Path
    deadly: str = ""
    n_deaths: int = 0

    def __call__(self, stage: str) -> Any:
        return partial(_run, self, stage)

    def calls(self) -> Counter[str]:
        """Stage → how often it was computed, or begun."""
        return Counter(path.name.partition(".")[0] for path in self.folder.glob("*.ran"))

    def processes(self) -> set[int]:
        """Ids of the processes that computed something."""
        return {int(path.name.split(".")[1]) for path in self.folder.glob("*.ran")}

    def victims(self) -> list[int]:
        """Ids of the processes that wait to be killed."""
        return [int(path.name.split(".")[1]) for path in self.folder.glob("*.waits")]


def _run(bodies: NotedBodies, stage: str, inputs: Any, parameters: Any, models: Any, note: Any) -> dict[str, Any]:
    (bodies.folder / f"{stage}.{os.getpid()}.{time.monotonic_ns()}.ran").touch()
    if stage == bodies.deadly and len(bodies.victims()) < bodies.n_deaths:
        (bodies.folder / f"{stage}.{os.getpid()}.waits").touch()
        time.sleep(120)
    return BODIES[stage](inputs, parameters, models, note)
