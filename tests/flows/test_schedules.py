"""`svdaudio schedule` against a real server, up to a batch that a real worker picks up and finishes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cluster_toy import victims
from farm_scene import FEW_STEPS_ARGUMENTS, PICTURES

from svdaudio.store import open_store

IGNORE_SIGINT = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
)
NIGHTLY = ["schedule", "add", "nightly", "--cron", "0 3 * * *", "--timezone", "Europe/Berlin"]

MASK = PICTURES[0].with_name("dog_cat.cat.mask.png")

pytestmark = pytest.mark.filterwarnings("default")  # Prefect and its dependencies emit warnings


@pytest.fixture
def cli(cli_and_children):
    return cli_and_children


@pytest.fixture
def server(prefect_api, monkeypatch, tmp_path):
    """The server's address in the environment, a store, and a file with one pair."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    monkeypatch.setenv("SVDAUDIO_STORE", str(tmp_path / "store"))
    pictures = ",".join(map(str, PICTURES))
    (tmp_path / "pairs.csv").write_text(f'original,edited,remove,add,name\n{pictures},"756,581","756,570",duck\n')
    monkeypatch.chdir(tmp_path)
    return prefect_api


@contextlib.contextmanager
def started_worker(folder, name="worker.log"):
    """Start a worker as a shell script does in the background, with SIGINT ignored: its process and its log."""
    # It polls more often than usual, in a folder that no path is relative to.
    environment = {**os.environ, "PREFECT_WORKER_QUERY_SECONDS": "1"}
    environment.pop("SVDAUDIO_STORE", None)
    (folder / "elsewhere").mkdir(exist_ok=True)
    with (folder / name).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", IGNORE_SIGINT, sys.executable, "-m", "svdaudio.cli", "schedule", "worker"],
            env=environment, cwd=folder / "elsewhere", stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            yield process, folder / name
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


@pytest.fixture
def worker(server, tmp_path):
    """The process of a worker and its log."""
    with started_worker(tmp_path) as (process, log):
        yield process, log
        assert process.poll() is None, "the worker ended by itself"


def children(pid):
    """Ids of all descendants of a process."""
    found = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in found.splitlines()]
    own = [child for child, parent in pairs if parent == pid]
    return own + [one for child in own for one in children(child)]


def wait_until(condition, timeout_s=120):
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.1)
    return found


def rested_log(process, log):
    """The log of a worker, once the processes of its flow runs have ended."""
    wait_until(lambda: not children(process.pid))
    return log.read_text()


def flow_run(run_id):
    """A flow run, and its artifacts by key, as stored on the server."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
    from prefect.settings import PREFECT_API_URL, temporary_settings

    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    api_url = os.environ["PREFECT_API_URL"]
    with temporary_settings({PREFECT_API_URL: api_url}), get_client(sync_client=True) as client:
        found = {one.key: one for one in client.read_artifacts(artifact_filter=of_run)}
        return client.read_flow_run(run_id), found


def test_the_list_is_empty_before_the_first_schedule(cli, prefect_server, server, monkeypatch):
    listed = cli("schedule", "list", "--json")
    assert (listed.code, listed.json()["schedules"], listed.json()["workers"]) == (0, [], 0)


def test_from_a_schedule_to_a_finished_batch(cli, server, request, tmp_path):
    added = cli(*NIGHTLY, "batch", "pairs.csv", "--no-baselines", *FEW_STEPS_ARGUMENTS, "--json")
    assert added.code == 0, added.err
    made = added.json()
    assert (made["name"], made["command"], made["title"]) == ("nightly", "batch", "batch pairs.csv")
    assert made["parameters"]["pairs"] == str(tmp_path / "pairs.csv")
    assert made["parameters"]["store"] == str(tmp_path / "store")
    again = cli(*NIGHTLY, "batch", "pairs.csv")
    assert again.code == 2
    assert "schedule nightly already exists" in again.err

    # the server schedules the coming nights
    deadline = time.monotonic() + 120
    while (board := cli("schedule", "list", "--json").json())["schedules"][0]["next_at"] is None:
        assert time.monotonic() < deadline, "the server schedules nothing"
        time.sleep(0.5)
    local = datetime.fromisoformat(board["schedules"][0]["next_at"]).astimezone(ZoneInfo("Europe/Berlin"))
    assert (local.hour, local.minute) == (3, 0)
    assert board["workers"] == 0
    shown = cli("schedule", "list")
    assert "0 3 * * * Europe/Berlin" in shown.out
    assert re.search(r"\d 03:00 CES?T", shown.out), "the next start, in the schedule's time zone"
    assert "no worker is running" in shown.err

    assert cli("schedule", "pause", "nightly", "--json").json()["paused"] is True
    assert cli("schedule", "list", "--json").json()["schedules"][0]["next_at"] is None
    assert "paused" in cli("schedule", "list").out
    assert cli("schedule", "resume", "nightly", "--json").json()["paused"] is False

    process, log = request.getfixturevalue("worker")
    result = cli("schedule", "run-now", "nightly", "--wait", "--json")
    assert (result.code, result.json()["state"]) == (0, "Completed"), result.err + log.read_text()
    store = open_store(tmp_path / "store")
    batch, run = list(store.runs)
    assert (batch.kind, batch.state, batch.results["counts"]) == ("batch", "finished", {"finished": 1})
    assert run.state == "finished"
    assert Path(run.results["audio"]["manipulated"]).is_file()
    assert Path(batch.results["table"]).is_file()
    found, artifacts = flow_run(result.json()["flow_run"])
    assert found.deployment_id is not None
    assert json.loads(artifacts["pairs"].data)[0]["name"] == "duck"
    listed = cli("schedule", "list", "--json").json()
    assert listed["workers"] == 1
    assert listed["schedules"][0]["last"]["state"] == "Completed"

    # a schedule that can no longer run fails with a one-line error
    (tmp_path / "pairs.csv").unlink()
    failed = cli("schedule", "run-now", "nightly", "--wait")
    assert failed.code == 1
    assert "cannot be read" in failed.out
    assert not re.search("Traceback|NoneType", rested_log(process, log))

    assert cli("schedule", "remove", "nightly").out == "removed nightly\n"
    assert cli("schedule", "list", "--json").json()["schedules"] == []
    assert len(store.runs.ids()) == 2
    assert cli("schedule", "run-now", "nightly").err.startswith("error: unknown schedule 'nightly'.")


def test_every_command_can_be_scheduled(cli, server, tmp_path):
    one = PICTURES[0]
    clock = ["--cron", "15 4 1 * *"]
    for name, arguments, parameters in (
        ("edit", ["run", one, one, "--remove", "756,581", "--add", "9,9", "--seed", 7], {
            "method": "manipulate", "files": {"original": str(one), "edited": str(one)}, "targets": None,
            "settings": {"remove": [[756.0, 581.0, 1]], "add": [[9.0, 9.0, 1]], "seed": 7},
            "store": str(tmp_path / "store"),
        }),
        ("masked", ["run", one, one, "--remove", f"cat={MASK}", "--remove", "dog=9,9"], {
            "method": "manipulate", "files": {"original": str(one), "edited": str(one), "remove.cat": str(MASK)},
            "targets": None, "settings": {"remove": {"cat": {"mask": str(MASK)}, "dog": {"points": [[9.0, 9.0, 1]]}}},
            "store": str(tmp_path / "store"),
        }),
        ("one", ["baseline", one, "--set", "generate.steps=8"], {
            "method": "baseline", "files": {"original": str(one)}, "targets": None,
            "settings": {"generate.steps": 8}, "store": str(tmp_path / "store"),
        }),
        ("other", ["run", "--method", "baseline", one], {
            "method": "baseline", "files": {"original": str(one)}, "targets": None, "settings": {},
            "store": str(tmp_path / "store"),
        }),
        ("figures", ["evaluate", "edits", "--only", "cat-duck", "--set", "generate.candidates=1"], {
            "settings": {"generate.candidates": 1}, "store": str(tmp_path / "store"), "only": ["cat-duck"],
            "unscaled": False, "out": None,
        }),
        ("gc", ["gc", "--max-size", "10GB", "--keep-days", "30"], {
            "store": str(tmp_path / "store"), "keep_days": 30.0, "max_bytes": 10**10, "grace_hours": 24.0,
        }),
    ):  # fmt: skip
        result = cli("schedule", "add", name, *clock, *arguments, "--json")
        assert result.code == 0, result.err
        assert result.json()["parameters"] == parameters
        assert result.json()["cron"] == "15 4 1 * *"
    listed = {one["name"]: one["command"] for one in cli("schedule", "list", "--json").json()["schedules"]}
    assert listed == {
        "edit": "run", "masked": "run", "one": "baseline", "other": "baseline", "figures": "evaluate edits", "gc": "gc",
    }  # fmt: skip
    started = cli("schedule", "run-now", "gc")
    assert started.code == 0
    assert "no worker is running" in started.err or "worker" not in started.err  # a worker may just have stopped
    for name in ("edit", "masked", "one", "other", "figures", "gc"):
        assert cli("schedule", "remove", name).code == 0


def test_there_is_no_telemetry(cli, server):
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from svdaudio.flows import schedules

    result = cli("schedule", "add", "quiet", "--cron", "0 0 * * *", "gc")
    assert result.code == 0, result.err
    with temporary_settings({PREFECT_API_URL: server}), get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("gc/quiet")
    assert deployment.job_variables["env"] == schedules.QUIET
    assert schedules.QUIET.items() <= schedules.worker_environment({"PREFECT_API_URL": server}).items()
    assert "never" in schedules.worker_command(limit=1), "a worker must not install packages"
    cli("schedule", "remove", "quiet")


def test_gc_is_a_flow(prefect_api, toy):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from svdaudio.flows.gc import gc

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
        (["schedule", "add", "x", "--cron", "0 3 * *", "gc"], "invalid cron expression"),
        (["schedule", "add", "x", "--cron", "0 0 3 * * *", "gc"], "invalid cron expression"),
        (["schedule", "add", "x", "--cron", "* * * * * * *", "gc"], "invalid cron expression"),
        (["schedule", "add", "x", "--cron", "0 25 * * *", "gc"], "invalid cron expression"),
        (["schedule", "add", "x", "--cron", "0 0 30 2 *", "gc"], "the cron expression matches no date"),
        (["schedule", "add", "x", "--cron", "0 0 31 4,6 *", "gc"], "the cron expression matches no date"),
        (["schedule", "add", "x", "--cron", "0 3 * * *", "run", "--method", "none", "a"], "unknown method"),
        (["schedule", "add", "x", "--cron", "0 3 * * *", "gc", "--store", os.fsdecode(b"st\xe9")], "not UTF-8"),
        (["schedule", "add", "x", "--cron", "0 3 * * *", "--timezone", "Mars", "gc"], "unknown time zone"),
        (["schedule", "add", "x y", "--cron", "0 3 * * *", "gc"], "invalid name of a schedule"),
        (["schedule", "add", "x", "--cron", "0 3 * * *", "gc", "--max-size", "much"], "the size is not valid"),
        (["schedule", "add", "x", "--cron", "0 3 * * *", "batch", "none.csv"], "cannot be read"),
        (["schedule", "add", "x", "--cron", "0 3 * * *", "baseline", "none.png"], "none.png"),
        (["schedule", "add", "x", "--cron", "0 3 * * *", "evaluate", "edits", "--only", "cat-cat"], "unknown edit"),
        (["schedule", "add", "x", "--cron", "0 3 * * *", "dance"], "No such command 'dance'"),
    ],
)
def test_an_invalid_schedule_is_a_one_line_error(cli, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SVDAUDIO_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    result = cli(*arguments)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err


def test_a_missing_server_is_reported(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    for command in (["list"], ["worker"], ["pause", "x"]):
        result = cli("schedule", *command)
        assert (result.code, result.out) == (2, "")
        assert "no Prefect server is running" in result.err
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    result = cli("schedule", "list")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "the Prefect server at http://127.0.0.1:9/api does not answer" in result.err


def has_ended(run_id):
    return flow_run(run_id)[0].state.is_final()


def run_states(store):
    return {run.id: run.state for run in store.runs}


def set_state(flow_run_id, state):
    """Request a state of a flow run, as the buttons of Prefect's page do."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    api_url = os.environ["PREFECT_API_URL"]
    with temporary_settings({PREFECT_API_URL: api_url}), get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run_id, state, force=True)


def test_a_run_of_a_killed_worker_is_resumed_by_another(cli, server, world, notes, monkeypatch, tmp_path):
    """Any method can be scheduled; a worker is killed, and a flow run is retried and cancelled."""
    from prefect.states import Cancelling, Scheduled

    from svdaudio.flows import schedules

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    files = [world.files["original"], world.files["edited"]]
    add = ["schedule", "add", "toy", "--cron", "0 3 1 1 *", "run", "--method", "cluster-toy", *files]
    assert cli(*add, "--set", "svd.k=3").code == 0
    [listed] = cli("schedule", "list", "--json").json()["schedules"]
    assert (listed["command"], listed["title"]) == ("run", "run original.txt edited.txt --method cluster-toy")
    store = open_store(tmp_path / "store")

    notes.kill("mix", 1)
    with started_worker(tmp_path, "first.log") as (process, _):
        started, _ = schedules.run_now("toy")
        wait_until(lambda: victims(notes.folder))
        for pid in [*children(process.pid), process.pid]:
            os.kill(pid, signal.SIGKILL)
    [(run_id, state)] = run_states(store).items()
    assert state == "running"
    wait_until(lambda: not store.runs.is_active(run_id))  # locks of killed processes are released with a delay

    with started_worker(tmp_path, "second.log") as (process, log):
        set_state(started.id, Scheduled(name="AwaitingRetry"))
        wait_until(lambda: has_ended(started.id))
        found, artifacts = flow_run(started.id)
        assert (found.state_name, found.name) == ("Completed", run_id), log.read_text()
        assert run_states(store) == {run_id: "finished"}
        assert store.runs.read(run_id).attempts == 2
        assert notes.calls() == {"image": 2, "align": 2, "factors": 2, "mix": 2, "scores": 1}
        stages = {row["stage"]: row["status"] for row in json.loads(artifacts["stages"].data)}
        assert (stages["original.image"], stages["mix"]) == ("cached", "computed")

        # a user error is one line in the log
        notes.clear()
        world.files["original"].write_text("1 2 6 9")
        notes.fail("mix", "the region is empty")
        failed = cli("schedule", "run-now", "toy", "--wait")
        assert (failed.code, "the region is empty" in failed.out) == (1, True)
        assert not re.search("Traceback|NoneType", rested_log(process, log))

        # a cancelled flow run leaves a resumable run
        notes.clear()
        notes.kill("mix", 1)
        started, _ = schedules.run_now("toy")
        wait_until(lambda: victims(notes.folder))
        set_state(started.id, Cancelling())
        wait_until(lambda: has_ended(started.id))
        assert flow_run(started.id)[0].state_name == "Cancelled"
        cancelled = store.runs.load("latest")
        wait_until(lambda: store.runs.read(cancelled.id).state == "interrupted")
        monkeypatch.delenv("PREFECT_API_URL")
        assert cli("resume").code == 0
        assert store.runs.read(cancelled.id).state == "finished"
    monkeypatch.setenv("PREFECT_API_URL", server)
    assert cli("schedule", "remove", "toy").code == 0


def test_two_workers_share_the_due_runs_and_compute_nothing_twice(cli, server, world, notes, monkeypatch, tmp_path):
    from svdaudio.flows import schedules

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    files = [world.files["original"], world.files["edited"]]
    add = ["schedule", "add", "toy", "--cron", "0 3 1 1 *", "run", "--method", "cluster-toy", *files]
    assert cli(*add).code == 0
    store = open_store(tmp_path / "store")
    notes.delay("image", 5)  # so that both work at the same time
    with started_worker(tmp_path, "one.log") as (one, _), started_worker(tmp_path, "two.log") as (two, _):
        wait_until(lambda: cli("schedule", "list", "--json").json()["workers"] == 2)
        ids = [schedules.run_now("toy")[0].id for _ in range(2)]
        wait_until(lambda: children(one.pid) and children(two.pid))
        wait_until(lambda: all(has_ended(each) for each in ids))
    names = {flow_run(each)[0].name for each in ids}
    assert [flow_run(each)[0].state_name for each in ids] == ["Completed", "Completed"]
    assert (len(names), run_states(store)) == (2, dict.fromkeys(names, "finished"))
    assert notes.calls() == {"image": 2, "align": 2, "factors": 2, "mix": 1, "scores": 1}
    assert cli("schedule", "remove", "toy").code == 0
