"""Start Python processes even if the parent ignores interrupts, and end processes in the background.

A shell script starts background jobs with SIGINT ignored, and every child inherits that. A process that ignores it
never sees the interrupt that stops a training, nor the one that a Prefect worker sends itself when it is terminated, so
that SIGTERM seems to have no effect.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

STOP_TIMEOUT_S = 15.0

_RESTORE = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.executable, sys.argv[1:])"
)


def python_command(*arguments: str) -> list[str]:
    """The command that runs this Python with `arguments`, in a process that SIGINT interrupts.

    If this process ignores SIGINT, the new one first restores the default, then executes the command (with the same
    process id). Nothing is changed in this process, and no code runs between fork and exec.
    """
    command = [sys.executable, *arguments]
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    return [sys.executable, "-c", _RESTORE, *command] if ignored else command


def start_time(pid: int) -> str | None:
    """When a process started, in the kernel's units: identifies it among processes of that id; None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return shown.stdout.strip() or None
    return None if fields[0] == "Z" else fields[19]


def end_group(pid: int, since: str) -> None:
    """Terminate a process group; kill it if it does not end in time.

    Args:
        pid: process id of its leader.
        since: `start_time` of the leader.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while start_time(pid) == since and time.monotonic() < deadline:
            time.sleep(0.05)
