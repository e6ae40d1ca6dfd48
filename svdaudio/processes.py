"""Starting Python processes when the parent may ignore interrupts.

A shell script starts background jobs with SIGINT ignored, and every child inherits that. A process that ignores it
never sees the interrupt that stops a training, nor the one that a Prefect worker sends itself when it is terminated, so
that SIGTERM seems to have no effect.
"""

from __future__ import annotations

import signal
import sys

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
