"""Finds the resident process, and tells whether it would compute the same as this process."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from svdaudio.processes import start_time

ENVIRONMENT = "SVDAUDIO_RESIDENT"
"""Set to "off" to have commands compute in their own process."""
OFF = "off"
STATE = "resident.json"
COUNTED_VARIABLES = (
    "SVDAUDIO_", "OMP_", "MKL_", "ONEDNN_", "ATEN_", "CUDA_", "PYTHONPATH", "XDG_DATA_HOME",
)  # fmt: skip
"""Prefixes of environment variables that may change results or the files used."""
UNCOUNTED_VARIABLES = (ENVIRONMENT, "SVDAUDIO_STORE")


@dataclass(frozen=True, kw_only=True)
class Resident:
    """A running resident process."""

    pid: int
    """Also the id of its process group."""
    began: str
    """Its start time, as the kernel counts."""
    address: str
    """Path of its socket, in a folder that only this user can enter."""
    identity: str
    """`identity()` of that process."""
    log: str


def home() -> Path:
    """The folder for the state and log of the resident process."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "svdaudio" / "resident"


def find(folder: Path | None = None) -> Resident | None:
    """The resident process, or None if none is running."""
    try:
        found = Resident(**json.loads(((folder or home()) / STATE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return found if start_time(found.pid) == found.began else None


def identity() -> str:
    """A digest of everything besides the request that affects results: interpreter, program, environment.

    The program is identified by the size and modification time of each of its files, so that edits are noticed.
    """
    package = Path(__file__).resolve().parents[1]
    files = sorted(
        path for folder in (package, package / "tasks", package / "flows") for path in folder.resolve().rglob("*.py")
    )
    program = [(str(path), status.st_size, status.st_mtime_ns) for path in files for status in [path.stat()]]
    environment = sorted(
        (name, value)
        for name, value in os.environ.items()
        if name.startswith(COUNTED_VARIABLES) and name not in UNCOUNTED_VARIABLES
    )
    described = json.dumps([sys.executable, program, environment])
    return hashlib.sha256(described.encode()).hexdigest()
