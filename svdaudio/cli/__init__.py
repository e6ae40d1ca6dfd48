"""The command line: `svdaudio`, and `python -m svdaudio.cli`.

It parses, calls a session or a flow, and prints. May import everything else.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

OFFLINE_SWITCHES = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    "PYDANTIC_DISABLE_PLUGINS": "1",  # finding them reads the metadata of every installed package
}
"""Environment variables of commands and their child processes, which keep libraries from sending telemetry, looking for
updates or plugins, and installing things. A value that the user has set is kept."""


INTERRUPTED = 130
"""The exit code after Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: without the program's name; those of the process if not given.

    Returns:
        The exit code: 0, or 1 for a failure, 2 for bad input, 3 for checkpoints, 4 for the store, 70 for a bug in
        this project, 130 after Ctrl-C.
    """
    for name, value in OFFLINE_SWITCHES.items():
        os.environ.setdefault(name, value)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller: the work is still done
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for the whole process
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an escape instead of an error
    try:
        from svdaudio.cli.app import invoke

        return invoke(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:  # before there was anything to interrupt
        return INTERRUPTED
