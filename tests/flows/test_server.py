"""The local Prefect server: it is found again, not started twice, and stopped with its children."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request

import pytest

from svdaudio.errors import RunError, StoreError
from svdaudio.flows import server
from svdaudio.processes import start_time


def test_a_running_server_is_found_and_not_started_again(prefect_server):
    running, home = prefect_server
    assert server.status(home) == running
    assert server.start(home) == running
    with urllib.request.urlopen(f"{running.api_url}/health") as reply:
        assert reply.read() == b"true"
    assert (home / "data").is_dir()


def test_where_the_api_is_found(prefect_server, monkeypatch, tmp_path):
    running, home = prefect_server
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert server.require_api_url(home) == running.api_url
    with pytest.raises(RunError, match="svdaudio server start"):
        server.require_api_url(tmp_path)
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    assert server.require_api_url(home) == "http://elsewhere/api"


def test_a_server_that_cannot_start_reports_why(tmp_path, monkeypatch):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "prefect.py").write_text("raise SystemExit('the port is taken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    with pytest.raises(RunError, match=r"ended at once with code 1: got the port is taken"):
        server.start(tmp_path / "home")
    assert server.status(tmp_path / "home") is None
    assert not (tmp_path / "home" / "server.json").exists()


def test_a_server_that_never_answers_is_stopped(tmp_path, monkeypatch):
    (tmp_path / "prefect.py").write_text("import time; print('thinking', flush=True); time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RunError, match=r"did not answer within 0\.5 s"):
        server.start(tmp_path / "home", timeout_s=0.5)
    assert server.status(tmp_path / "home") is None


def test_a_folder_that_cannot_be_created(tmp_path):
    (tmp_path / "home").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        server.start(tmp_path / "home")


def test_stop_ends_the_whole_group(tmp_path):
    code = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        child = int(process.stdout.readline())
        state = {"pid": process.pid, "began": start_time(process.pid), "url": "http://127.0.0.1:1", "log": ""}
        (tmp_path / "server.json").write_text(json.dumps(state))
        assert server.stop(tmp_path).pid == process.pid
        assert process.wait(5) != 0
    deadline = time.monotonic() + 5
    while start_time(child) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert start_time(child) is None
    assert server.status(tmp_path) is None
    assert server.stop(tmp_path) is None


@pytest.mark.parametrize("state", ["", "{}", "[]", '{"pid": 1, "began": "another time", "url": "", "log": ""}'])
def test_a_stale_or_damaged_state_counts_as_no_server(tmp_path, state):
    (tmp_path / "server.json").write_text(state)
    assert server.status(tmp_path) is None
    assert server.stop(tmp_path) is None


def test_the_environment_of_the_server(tmp_path):
    environment = server.server_environment(
        tmp_path,
        {"PATH": "/bin", "PREFECT_API_URL": "http://x", "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql://y"},
    )
    assert "PREFECT_API_URL" not in environment
    assert environment["PATH"] == "/bin"
    assert environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == "postgresql://y"
    assert environment["DO_NOT_TRACK"] == "1"
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert environment["PREFECT_HOME"] == str(tmp_path / "data")


def test_importing_the_module_does_not_import_prefect():
    code = "import svdaudio.flows.server, sys; print('prefect' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )
