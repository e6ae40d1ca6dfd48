"""`svdaudio schedule` against a real server, through to a batch that a real worker picked up and finished."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from farm_scene import FEW_STEPS_ARGUMENTS, PICTURES

from svdaudio.store import open_store

IGNORE_SIGINT = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
)
NIGHTLY = ["schedule", "add", "nightly", "--cron", "0 3 * * *", "--timezone", "Europe/Berlin"]

pytestmark = pytest.mark.filterwarnings("default")  # Prefect and what it stands on have warnings of their own


@pytest.fixture
def cli(cli_and_children):
    return cli_and_children


@pytest.fixture
def server(prefect_api, monkeypatch, tmp_path):
    """Its address in the environment, a store, and a file of one pair."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    monkeypatch.setenv("SVDAUDIO_STORE", str(tmp_path / "store"))
    pictures = ",".join(map(str, PICTURES))
    (tmp_path / "pairs.csv").write_text(f'original,edited,remove,add,name\n{pictures},"756,581","756,570",duck\n')
    monkeypatch.chdir(tmp_path)
    return prefect_api


@pytest.fixture
def worker(server, tmp_path):
    """A worker of our own, as the background of a shell script starts it: there SIGINT is ignored."""
    # What it does is looked for more often than usual; and it is in no folder that anything is relative to.
    environment = {**os.environ, "PREFECT_WORKER_QUERY_SECONDS": "1"}
    environment.pop("SVDAUDIO_STORE")
    (tmp_path / "elsewhere").mkdir()
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", IGNORE_SIGINT, sys.executable, "-m", "svdaudio.cli", "schedule", "worker"],
            env=environment, cwd=tmp_path / "elsewhere", stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        yield tmp_path / "worker.log"
        assert process.poll() is None, "the worker ended by itself"
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def flow_run(run_id):
    """A flow run, and its artifacts by their keys, as the server has them."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
    from prefect.settings import PREFECT_API_URL, temporary_settings

    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    api_url = os.environ["PREFECT_API_URL"]
    with temporary_settings({PREFECT_API_URL: api_url}), get_client(sync_client=True) as client:
        found = {one.key: one for one in client.read_artifacts(artifact_filter=wanted)}
        return client.read_flow_run(run_id), found


def test_from_a_schedule_to_a_finished_batch(cli, server, request, tmp_path):
    added = cli(*NIGHTLY, "batch", "pairs.csv", "--no-baselines", *FEW_STEPS_ARGUMENTS, "--json")
    assert added.code == 0, added.err
    made = added.json()
    assert (made["name"], made["command"], made["title"]) == ("nightly", "batch", "batch pairs.csv")
    assert made["parameters"]["pairs"] == str(tmp_path / "pairs.csv")
    assert made["parameters"]["store"] == str(tmp_path / "store")
    again = cli(*NIGHTLY, "batch", "pairs.csv")
    assert again.code == 2
    assert "there is a schedule nightly already" in again.err

    # the server plans the nights to come
    deadline = time.monotonic() + 120
    while (board := cli("schedule", "list", "--json").json())["schedules"][0]["next_at"] is None:
        assert time.monotonic() < deadline, "the server plans nothing"
        time.sleep(0.5)
    local = datetime.fromisoformat(board["schedules"][0]["next_at"]).astimezone(ZoneInfo("Europe/Berlin"))
    assert (local.hour, local.minute) == (3, 0)
    assert board["workers"] == 0
    shown = cli("schedule", "list")
    assert "0 3 * * * Europe/Berlin" in shown.out
    assert "no worker is there" in shown.err

    assert cli("schedule", "pause", "nightly", "--json").json()["paused"] is True
    assert cli("schedule", "list", "--json").json()["schedules"][0]["next_at"] is None
    assert "paused" in cli("schedule", "list").out
    assert cli("schedule", "resume", "nightly", "--json").json()["paused"] is False

    log = request.getfixturevalue("worker")
    done = cli("schedule", "run-now", "nightly", "--wait", "--json")
    assert (done.code, done.json()["state"]) == (0, "Completed"), done.err + log.read_text()
    store = open_store(tmp_path / "store")
    batch, run = list(store.runs)
    assert (batch.kind, batch.state, batch.results["counts"]) == ("batch", "finished", {"finished": 1})
    assert run.state == "finished"
    assert Path(run.results["audio"]["manipulated"]).is_file()
    assert Path(batch.results["table"]).is_file()
    carried_out, artifacts = flow_run(done.json()["flow_run"])
    assert carried_out.deployment_id is not None
    assert json.loads(artifacts["pairs"].data)[0]["name"] == "duck"
    listed = cli("schedule", "list", "--json").json()
    assert listed["workers"] == 1
    assert listed["schedules"][0]["last"]["state"] == "Completed"

    # what cannot be carried out any more fails, and says why
    (tmp_path / "pairs.csv").unlink()
    failed = cli("schedule", "run-now", "nightly", "--wait")
    assert failed.code == 1
    assert "cannot be read" in failed.out

    assert cli("schedule", "remove", "nightly").out == "removed nightly\n"
    assert cli("schedule", "list", "--json").json()["schedules"] == []
    assert len(store.runs.ids()) == 2
    assert cli("schedule", "run-now", "nightly").err.startswith("error: there is no schedule nightly.")


def test_every_command_can_be_scheduled(cli, server, tmp_path):
    one = PICTURES[0]
    clock = ["--cron", "15 4 1 * *"]
    for name, arguments, parameters in (
        ("edit", ["run", one, one, "--remove", "756,581", "--add", "9,9", "--seed", 7], {
            "original": str(one), "edited": str(one), "baselines": True, "store": str(tmp_path / "store"),
            "settings": {"remove": ["756,581"], "add": ["9,9"], "seed": 7},
        }),
        ("one", ["baseline", one, "--set", "svd.k=7"], {
            "image": str(one), "settings": {"svd.k": 7}, "store": str(tmp_path / "store"),
        }),
        ("figures", ["evaluate", "edits", "--only", "cat-duck", "--set", "generate.candidates=1"], {
            "settings": {"generate.candidates": 1}, "store": str(tmp_path / "store"), "only": ["cat-duck"],
            "unscaled": False, "out": None,
        }),
        ("gc", ["gc", "--max-size", "10GB", "--keep-days", "30"], {
            "store": str(tmp_path / "store"), "keep_days": 30.0, "max_bytes": 10**10, "grace_hours": 24.0,
        }),
    ):  # fmt: skip
        made = cli("schedule", "add", name, *clock, *arguments, "--json")
        assert made.code == 0, made.err
        assert made.json()["parameters"] == parameters
        assert made.json()["cron"] == "15 4 1 * *"
    started = cli("schedule", "run-now", "gc")
    assert started.code == 0
    assert "no worker is there" in started.err or "worker" not in started.err  # one may have stopped a moment ago
    for name in ("edit", "one", "figures", "gc"):
        assert cli("schedule", "remove", name).code == 0


def test_nothing_is_reported_to_anybody(cli, server):
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows import schedules

    made = cli("schedule", "add", "quiet", "--cron", "0 0 * * *", "gc")
    assert made.code == 0, made.err
    with temporary_settings({PREFECT_API_URL: server}), get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("gc/quiet")
    assert deployment.job_variables["env"] == schedules.QUIET
    assert schedules.QUIET.items() <= schedules.worker_environment({"PREFECT_API_URL": server}).items()
    assert "never" in schedules.worker_command(limit=1), "a worker must install nothing"
    cli("schedule", "remove", "quiet")


def test_cleaning_is_a_flow(prefect_api, toy):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.gc import gc

    run = toy.run()
    toy.store.runs.remove(run.id)
    with temporary_settings({PREFECT_API_URL: prefect_api}):
        kept = gc(toy.store.location)
        gone = gc(toy.store.location, grace_hours=0)
    assert (kept["artifacts"], kept["kept"]) == (0, 8)
    assert (gone["artifacts"], gone["kept"]) == (8, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["schedule", "add", "x", "batch", "pairs.csv"], "a schedule needs a time"),
        (["schedule", "add", "--cron", "0 3 * * *", "gc"], "a schedule needs a name"),
        (["schedule", "add", "x", "--cron", "0 3 * *", "gc"], "the times cannot be understood"),
        (["schedule", "add", "x", "--cron", "0 3 * * *", "--timezone", "Mars", "gc"], "there is no such timezone"),
        (["schedule", "add", "x y", "--cron", "0 3 * * *", "gc"], "that is no name"),
        (["schedule", "add", "x", "--cron", "0 3 * * *", "gc", "--max-size", "much"], "that is no size"),
        (["schedule", "add", "x", "--cron", "0 3 * * *", "batch", "none.csv"], "cannot be read"),
        (["schedule", "add", "x", "--cron", "0 3 * * *", "baseline", "none.png"], "none.png"),
        (["schedule", "add", "x", "--cron", "0 3 * * *", "evaluate", "edits", "--only", "cat-cat"], "there is no edit"),
        (["schedule", "add", "x", "--cron", "0 3 * * *", "dance"], "No such command 'dance'"),
    ],
)
def test_what_cannot_be_scheduled_is_one_line(cli, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SVDAUDIO_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    result = cli(*arguments)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err


def test_without_a_server_it_says_so(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    for command in (["list"], ["worker"], ["pause", "x"]):
        result = cli("schedule", *command)
        assert (result.code, result.out) == (2, "")
        assert "there is no Prefect server" in result.err
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    result = cli("schedule", "list")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "the Prefect server at http://127.0.0.1:9/api does not answer" in result.err
