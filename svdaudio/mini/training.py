"""Run all trainings of the mini bundle in parallel, each in a process that starts after those it depends on."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from svdaudio.errors import RunError

POLL_S = 0.2
PATIENCE_S = 60.0
"""Time for an interrupted training to end before it is killed."""


class Process(Protocol):
    """The interface of `subprocess.Popen`."""

    def poll(self) -> int | None:
        """The exit status, None while it runs."""
        ...

    def send_signal(self, sig: int, /) -> None:
        """Send it a signal."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended."""
        ...


@dataclass(frozen=True, kw_only=True)
class Event:
    """The start of a training (`seconds` is None), or its end."""

    name: str
    seconds: float | None = None


def train_together(
    needs: Mapping[str, tuple[str, ...]],
    start: Callable[[str], Process],
    *,
    n_workers: int,
    on_event: Callable[[Event], None],
) -> None:
    """Run all trainings, at most `n_workers` at a time, in the given order.

    If one fails, or on Ctrl-C, the others are interrupted; the same call resumes them.

    Args:
        needs: training → the trainings that must be done before it; all of them are keys.
        start: starts a training.
        n_workers: at least 1.
        on_event: receives the start and end of every training.

    Raises:
        RunError: a training failed.
    """
    done: set[str] = set()
    running: dict[str, tuple[Process, float]] = {}
    try:
        while len(done) < len(needs):
            for name, needed in needs.items():
                if len(running) < n_workers and name not in running and name not in done and done.issuperset(needed):
                    running[name] = start(name), time.monotonic()
                    on_event(Event(name=name))
            time.sleep(POLL_S)
            for name, (process, begun) in list(running.items()):
                status = process.poll()
                if status is None:
                    continue
                del running[name]
                if status:
                    raise RunError(f"the training of {name} failed", got=f"exit status {status}")
                done.add(name)
                on_event(Event(name=name, seconds=time.monotonic() - begun))
    finally:
        for process, _ in running.values():
            process.send_signal(signal.SIGINT)
        for process, _ in running.values():
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
