"""Starts, finds and stops a local Prefect server in the background.

Its state, database and log are in `$XDG_STATE_HOME/svdaudio/server` (`~/.local/state/svdaudio/server`), apart from the
user's own Prefect. It is the process of `prefect server start` in a new session: with `--background`, Prefect would
report success before the server answers, even if it cannot start, and discard its output. This module does not import
prefect.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from svdaudio.errors import RunError, StoreError
from svdaudio.files import write_bytes
from svdaudio.flows import QUIET
from svdaudio.processes import end_group, python_command, start_time
from svdaudio.store.locks import file_lock

HOST = "127.0.0.1"
DATA = "data"
"""The folder for Prefect's own data in the server's folder."""
START_TIMEOUT_S = 240.0
ANSWER_TIMEOUT_S = 10.0
N_LOG_LINES = 3


@dataclass(frozen=True, kw_only=True)
class Server:
    """A Prefect server that `start` started."""

    pid: int
    """Also the id of its process group."""
    began: str
    """Start time of the process, as the kernel counts; distinguishes it from a later one with the same pid."""
    url: str
    """Address of its page; the API is below `/api`."""
    log: str
    """Path of the file with its output."""

    @property
    def api_url(self) -> str:
        """The value for PREFECT_API_URL."""
        return f"{self.url}/api"


def server_home() -> Path:
    """The folder for the server's state, data and log."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "svdaudio" / "server"


def status(home: Path | None = None) -> Server | None:
    """The running server, or None."""
    try:
        server = Server(**json.loads(_state(home or server_home()).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return server if start_time(server.pid) == server.began else None


def start(home: Path | None = None, *, port: int | None = None, timeout_s: float = START_TIMEOUT_S) -> Server:
    """Start a server on this machine, or return the running one.

    Args:
        home: folder for its state, data and log.
        port: its port; by default a free one.
        timeout_s: how long to wait until it answers.

    Raises:
        RunError: the server ended or did not answer in time; the error holds the last lines of its log.
        StoreError: its folder cannot be written.
    """
    home = home or server_home()
    try:
        (home / DATA).mkdir(parents=True, exist_ok=True)
        with file_lock(home / "lock", lambda: None):
            return status(home) or _start(home, port or _free_port(), timeout_s)
    except OSError as error:
        raise StoreError(f"the server's folder {home} cannot be written", got=error.strerror or str(error)) from error


def stop(home: Path | None = None) -> Server | None:
    """Stop the running server and every process that it started; returns it, or None if none was running."""
    home = home or server_home()
    server = status(home)
    if server is not None:
        end_group(server.pid, server.began)
    _state(home).unlink(missing_ok=True)
    return server


def require_api_url(home: Path | None = None) -> str:
    """PREFECT_API_URL if it is set, else the address of the running server's API.

    Raises:
        RunError: the variable is not set and no server is running.
    """
    if chosen := os.environ.get("PREFECT_API_URL"):
        return chosen
    server = status(home)
    if server is None:
        raise RunError("no Prefect server is running", fix="run `svdaudio server start`, or set PREFECT_API_URL")
    return server.api_url


def require_server(home: Path | None = None) -> str:
    """The address of the API of a server that answers.

    Raises:
        RunError: no server is running, or it does not answer.
    """
    url = require_api_url(home)
    try:
        _ask(url, ANSWER_TIMEOUT_S)
    except (OSError, ValueError) as error:
        raise no_answer(url, error) from error
    return url


def answers(api_url: str, timeout_s: float = ANSWER_TIMEOUT_S) -> bool:
    """Whether a server answers."""
    try:
        _ask(api_url, timeout_s)
    except (OSError, ValueError):
        return False
    return True


def no_answer(url: str, error: Exception) -> RunError:
    """The error for a server that does not answer."""
    return RunError(
        f"the Prefect server at {url} does not answer",
        got=f"{type(error).__name__}: {error}",
        fix="`svdaudio server start` starts one; PREFECT_API_URL, if set, must name a running one",
    )


def server_environment(home: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of the server: the user's, but of Prefect's settings only those of the database."""
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith("PREFECT_") or name.startswith("PREFECT_SERVER_DATABASE_")
    }
    return {**kept, "PREFECT_HOME": str(home / DATA), **QUIET}


def _start(home: Path, port: int, timeout_s: float) -> Server:
    log = home / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            python_command("-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=server_environment(home, os.environ),
            cwd=home,
            start_new_session=True,  # its own process group, which `stop` ends as a whole
        )
    server = Server(pid=process.pid, began=start_time(process.pid) or "", url=f"http://{HOST}:{port}", log=str(log))
    deadline = time.monotonic() + timeout_s
    try:
        while not answers(server.api_url, timeout_s=2):
            code = process.poll()
            if code is not None or time.monotonic() > deadline:
                how = f"did not answer within {timeout_s:g} s" if code is None else f"ended at once with code {code}"
                lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
                got = " / ".join(lines[-N_LOG_LINES:]) or "nothing"
                raise RunError(f"the Prefect server {how}", got=got, fix=f"see {log}")
            time.sleep(0.2)
        write_bytes(_state(home), json.dumps(asdict(server), indent=1).encode())
    except BaseException:
        end_group(server.pid, server.began)
        process.wait()
        raise
    process.returncode = 0  # it outlives this object, which would otherwise warn about it
    return server


def _ask(api_url: str, timeout_s: float) -> None:
    """Request a server's health; any reply will do.

    Raises:
        OSError: the server does not answer.
        ValueError: the address is invalid.
    """
    with suppress(urllib.error.HTTPError):
        urllib.request.urlopen(f"{api_url.rstrip('/')}/health", timeout=timeout_s).close()  # noqa: S310 - the user's own


def _free_port() -> int:
    with socket.socket() as candidate:
        candidate.bind((HOST, 0))
        return candidate.getsockname()[1]


def _state(home: Path) -> Path:
    return home / "server.json"
