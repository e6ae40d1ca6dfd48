"""Launches several processes that train together, with the environment variables of `torchrun`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence

from svdaudio.errors import RunError

POLL_INTERVAL_S = 0.2
STOP_TIMEOUT_S = 60.0
"""Seconds that processes have to save their state when they are asked to stop."""


def is_launched() -> bool:
    """Whether the environment declares this process one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def launch(command: Sequence[str], n: int) -> None:
    """Run a command in `n` processes on this machine, until all have ended.

    Raises:
        RunError: a process failed; the others are stopped.
        KeyboardInterrupt: this process was interrupted; the others have ended.
    """
    running = [subprocess.Popen(command, env={**os.environ, **one}) for one in _environments(n)]
    try:
        while True:
            statuses = [process.poll() for process in running]
            if failed := [status for status in statuses if status]:
                raise RunError("a process of the training failed", got=f"exit status {failed[0]}", fix="see its error")
            if None not in statuses:
                return
            time.sleep(POLL_INTERVAL_S)
    finally:
        for process in running:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in running:
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _environments(n: int) -> list[Mapping[str, str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": str(n), "LOCAL_WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(n)]
