"""Starts and stops the resident process."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from svdaudio.errors import RunError, StoreError
from svdaudio.processes import end_group, python_command, start_time
from svdaudio.resident.place import STATE, Resident, find, home
from svdaudio.store.locks import file_lock

IDLE_S = 3600.0
START_TIMEOUT_S = 60.0
N_LOG_LINES = 3


def start(
    folder: Path | None = None, *, idle_s: float = IDLE_S, warm: bool = True, timeout_s: float = START_TIMEOUT_S
) -> Resident:
    """Start the resident process, or return the running one. It accepts requests at once, while it still imports.

    Args:
        folder: folder for its state and log.
        idle_s: time without requests after which it ends.
        warm: import everything at once, before the first request.
        timeout_s: how long to wait until it listens.

    Raises:
        RunError: the process ended or did not listen in time; the error holds the last lines of its log.
        StoreError: its folder cannot be written.
    """
    folder = folder or home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file_lock(folder / "lock", lambda: None):
            return find(folder) or _start(folder, idle_s, timeout_s, warm=warm)
    except OSError as error:
        raise StoreError(f"the folder {folder} cannot be written", got=error.strerror or str(error)) from error


def stop(folder: Path | None = None) -> Resident | None:
    """Stop the resident process; returns it, or None if none was running. Its commands continue their runs."""
    folder = folder or home()
    resident = find(folder)
    if resident is not None:
        end_group(resident.pid, resident.began)
    (folder / STATE).unlink(missing_ok=True)
    return resident


def _start(folder: Path, idle_s: float, timeout_s: float, *, warm: bool) -> Resident:
    process, resident = launch(folder, str(idle_s), *(["warm"] if warm else []), timeout_s=timeout_s)
    process.returncode = 0  # it outlives this object, which would otherwise warn about it
    return resident


def launch(
    folder: Path,
    *arguments: str,
    timeout_s: float = START_TIMEOUT_S,
    environment: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
) -> tuple[subprocess.Popen[bytes], Resident]:
    """Start a resident process and wait until it listens.

    Args:
        folder: existing folder for its state and log.
        arguments: arguments of `svdaudio.resident.serve` after the folder.
        timeout_s: how long to wait until it listens.
        environment: variables that differ from those of this process.
        stdin: its standard input, as `subprocess` takes it.

    Raises:
        RunError: the process ended or did not listen in time; the error holds the last lines of its log.
    """
    log = folder / "resident.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            python_command("-m", "svdaudio.resident.serve", str(folder), *arguments),
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # so that Ctrl-C does not reach it, and it is ended together with its children
        )
    since = start_time(process.pid) or ""
    deadline = time.monotonic() + timeout_s
    try:
        while (resident := find(folder)) is None:
            code = process.poll()
            if code is not None or time.monotonic() > deadline:
                how = f"did not listen within {timeout_s:g} s" if code is None else f"ended at once with code {code}"
                lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
                raise RunError(
                    f"the resident process {how}", got=" / ".join(lines[-N_LOG_LINES:]) or "nothing", fix=f"see {log}"
                )
            time.sleep(0.05)
    except BaseException:
        end_group(process.pid, since)
        process.wait()
        raise
    return process, resident
