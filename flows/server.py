"""A local Prefect server that is started, remembered and stopped.

Its state, database and log lie in `$XDG_STATE_HOME/svdaudio/server` (`~/.local/state/svdaudio/server`), apart from
any Prefect the user has. Nothing in here imports prefect.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from flows import QUIET
from svdaudio.errors import RunError, StoreError
from svdaudio.files import write_bytes
from svdaudio.processes import python_command
from svdaudio.store.locks import file_lock

HOST = "127.0.0.1"
DATA = "data"
"""Prefect's own folder in ours."""
START_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 15.0
ANSWERS_WITHIN_S = 10.0
N_LOG_LINES_TOLD = 3


@dataclass(frozen=True, kw_only=True)
class Server:
    """A Prefect server that this project started."""

    pid: int
    """Also the process group's id."""
    began: str
    """When the process began, as the kernel counts; tells it from another of the same pid."""
    url: str
    """Of the page; the API is below `/api`."""
    log: str
    """Path of what it prints."""

    @property
    def api_url(self) -> str:
        """What PREFECT_API_URL is to be set to."""
        return f"{self.url}/api"


def server_home() -> Path:
    """Where the server keeps everything."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "svdaudio" / "server"


def status(home: Path | None = None) -> Server | None:
    """The running server, or None. A server that died is forgotten."""
    path = _state(home or server_home())
    try:
        server = Server(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    if _began(server.pid) != server.began:
        path.unlink(missing_ok=True)
        return None
    return server


def start(home: Path | None = None, *, port: int | None = None, timeout_s: float = START_TIMEOUT_S) -> Server:
    """Start a server on this machine, or find the one that runs.

    Args:
        home: where it keeps its state; for tests.
        port: a free one if not given.
        timeout_s: how long it may take until it answers.

    Raises:
        RunError: it ended at once, or did not answer in time; with the last lines of its log.
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
    """Stop the running server and everything it started; returns it, or None if there was none."""
    home = home or server_home()
    server = status(home)
    if server is None:
        return None
    _end(server.pid, server.began)
    _state(home).unlink(missing_ok=True)
    return server


def find_api_url(home: Path | None = None) -> str | None:
    """PREFECT_API_URL if it is set, else the API of the running server, else None."""
    chosen = os.environ.get("PREFECT_API_URL")
    if chosen:
        return chosen
    server = status(home)
    return server.api_url if server else None


def require_api_url(home: Path | None = None) -> str:
    """As `find_api_url`.

    Raises:
        RunError: there is no server.
    """
    url = find_api_url(home)
    if url is None:
        raise RunError("there is no Prefect server", fix="run `svdaudio server start`, or set PREFECT_API_URL")
    return url


def require_server(home: Path | None = None) -> str:
    """The address of a server that answers, whatever it says.

    Raises:
        RunError: there is none, or it does not answer.
    """
    url = require_api_url(home)
    try:
        _health(url, ANSWERS_WITHIN_S)
    except (OSError, ValueError) as error:
        raise silent(url, error) from error
    return url


def silent(url: str, error: Exception) -> RunError:
    """The error for a server that does not answer."""
    return RunError(
        f"the Prefect server at {url} does not answer",
        got=f"{type(error).__name__}: {error}",
        fix="`svdaudio server start` starts one; PREFECT_API_URL, if set, has to name one that runs",
    )


def server_environment(home: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of the server: the user's, less every Prefect setting but the database's."""
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith("PREFECT_") or name.startswith("PREFECT_SERVER_DATABASE_")
    }
    return {
        **kept,
        "PREFECT_HOME": str(home / DATA),
        **QUIET,
    }


def _start(home: Path, port: int, timeout_s: float) -> Server:
    log = home / "server.log"
    command = python_command("-m", "prefect", "server", "start", "--host", HOST, "--port", str(port))
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=server_environment(home, os.environ),
            cwd=home,
            start_new_session=True,  # its own process group, which `stop` ends as a whole
        )
    server = Server(pid=process.pid, began=_began(process.pid) or "", url=f"http://{HOST}:{port}", log=str(log))
    deadline = time.monotonic() + timeout_s
    try:
        while not _answers(server):
            if process.poll() is not None:
                raise RunError(
                    f"the Prefect server ended at once with code {process.returncode}",
                    got=_tail(log),
                    fix=f"look into {log}",
                )
            if time.monotonic() > deadline:
                raise RunError(
                    f"the Prefect server did not answer within {timeout_s:g} s", got=_tail(log), fix=f"look into {log}"
                )
            time.sleep(0.2)
        write_bytes(_state(home), json.dumps(asdict(server), indent=1).encode())
    except BaseException:
        _end(server.pid, server.began)
        process.wait()
        raise
    process.returncode = 0  # it outlives this object, which would warn of that
    return server


def _end(pid: int, began: str) -> None:
    for number, patience_s in ((signal.SIGTERM, STOP_TIMEOUT_S), (signal.SIGKILL, STOP_TIMEOUT_S)):
        if _began(pid) != began:
            break
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience_s
        while _began(pid) == began and time.monotonic() < deadline:
            time.sleep(0.05)
    try:
        os.killpg(pid, signal.SIGKILL)  # children that outlived it
    except (ProcessLookupError, PermissionError):
        return


def _began(pid: int) -> str | None:
    """When a process began, None if there is none (or only its corpse)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
        return _began_without_proc(pid)
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _began_without_proc(pid: int) -> str | None:
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


def _answers(server: Server) -> bool:
    try:
        return _health(server.api_url, timeout_s=2) == 200
    except OSError:
        return False


def _health(api_url: str, timeout_s: float) -> int:
    """The status with which a server says how it is.

    Raises:
        OSError: it does not answer.
        ValueError: that is no address.
    """
    try:
        with urllib.request.urlopen(f"{api_url.rstrip('/')}/health", timeout=timeout_s) as reply:  # noqa: S310 - ours or the user's own
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code


def _free_port() -> int:
    with socket.socket() as candidate:
        candidate.bind((HOST, 0))
        return candidate.getsockname()[1]


def _state(home: Path) -> Path:
    return home / "server.json"


def _tail(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-N_LOG_LINES_TOLD:]) or "nothing"
