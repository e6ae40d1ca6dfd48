"""The Prefect runner gives the results of the in-process runner, and Prefect's page shows them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from svdaudio.errors import InputError, RunError

pytestmark = [
    pytest.mark.filterwarnings("default"),  # Prefect and its dependencies emit warnings
]

NODES = (
    "original.image", "original.align", "original.factors", "edited.image", "edited.align", "edited.factors", "mix",
    "mixed.scores",
)  # fmt: skip


@pytest.fixture
def runner(prefect_api):
    """Imported late: Prefect takes seconds."""
    from svdaudio.flows.run import PrefectRunner

    return PrefectRunner(api_url=prefect_api)


def flow_run_and_tasks(api_url, name):
    """A flow run, and its task runs by name, as stored on the server."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
    from prefect.settings import PREFECT_API_URL, temporary_settings

    by_name = FlowRunFilter(name=FlowRunFilterName(any_=[name]))
    with temporary_settings({PREFECT_API_URL: api_url}), get_client(sync_client=True) as client:
        earlier = None
        for _ in range(100):  # task runs reach the server as events, with a delay
            tasks = {task.name: task for task in client.read_task_runs(flow_run_filter=by_name)}
            now = {name: task.state_name for name, task in tasks.items()}
            if now == earlier and now and not set(now.values()) & {"Pending", "Running"}:
                break
            earlier = now
            time.sleep(0.5)
        [flow_run] = client.read_flow_runs(flow_run_filter=by_name)
    return flow_run, tasks


def states(api_url, name):
    """Task run name → state name."""
    return {name: task.state_name for name, task in flow_run_and_tasks(api_url, name)[1].items()}


def comparable(run):
    """A record without the fields that differ from run to run."""
    stages = tuple(replace(entry, seconds=0.0) for entry in run.stages)
    return replace(run, id="", created_at="", seconds=0.0, stages=stages, results={}, runner="", sources={})


def artifacts(store):
    """Key → bytes of every stored chunk."""
    return {
        key: {
            str(p.relative_to(store.path(key))): p.read_bytes() for p in store.path(key).rglob("c/**/*") if p.is_file()
        }
        for key in list(store.keys())
    }


def wait_for(condition, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)


def test_both_runners_give_the_same_records_artifacts_and_events(world, notes, runner, prefect_api):
    sessions = {"a": world.session("a"), "b": world.session("b", runner)}
    records, events, counts = {}, {}, {}
    for name, session in sessions.items():
        notes.clear()
        seen = []
        records[name], counts[name] = [], []
        for settings in ({}, {}, {"svd__alpha": 0.2}, {"threshold": 0.55}):
            records[name].append(session.run(world.request(session, **settings), progress=seen.append).run)
            counts[name].append(notes.calls())
        notes.fail("mix", "the region is empty")
        with pytest.raises(InputError, match="the region is empty"):
            session.run(world.request(session, svd__k=9), progress=seen.append)
        records[name].append(session.load("latest"))
        events[name] = [(e.kind, e.node, e.text, e.n_done, e.n_total) for e in seen]

    assert [comparable(run) for run in records["a"]] == [comparable(run) for run in records["b"]]
    assert [run.runner for run in records["b"]] == ["prefect"] * 5
    assert counts["a"] == counts["b"]
    assert events["a"] == events["b"]
    assert artifacts(sessions["a"].store) == artifacts(sessions["b"].store)
    assert [run.state for run in records["b"]] == ["finished"] * 4 + ["failed"]

    first, _, changed, _, failed = records["b"]
    flow_run, tasks = flow_run_and_tasks(prefect_api, first.id)
    assert {name: task.state_name for name, task in tasks.items()} == dict.fromkeys(NODES, "Completed")
    assert flow_run.parameters == {
        "method": "cluster-toy",
        "files": {name: str(path) for name, path in world.files.items()},
        "settings": world.request(sessions["b"]).config.flat(),
        "targets": ["mixed.scores"],
        "store": str(world.folder / "b"),
        "run": first.id,
    }
    upstream = {one.id for one in tasks["mix"].task_inputs["upstream"]}
    assert upstream == {tasks["original.factors"].id, tasks["edited.factors"].id}
    expected = {**dict.fromkeys(NODES, "Cached"), "mix": "Completed", "mixed.scores": "Completed"}
    assert states(prefect_api, changed.id) == expected
    flow_run, tasks = flow_run_and_tasks(prefect_api, failed.id)
    assert (tasks["mix"].state_name, tasks["mix"].state.message) == ("Failed", "the region is empty.")
    assert "mixed.scores" not in tasks
    assert (flow_run.state_name, flow_run.state.message) == ("Failed", "the region is empty.")


def test_a_stage_has_one_task_named_after_it():
    from cluster_toy import ALIGN, METHOD

    from svdaudio.flows.stages import stage_task

    found = {stage_task(node.stage.name, node.stage.summary) for node in METHOD.nodes(None).values()}
    assert {task.name for task in found} == {"image", "align", "factors", "mix", "scores"}
    assert len(found) == 5
    align = stage_task(ALIGN.name, ALIGN.summary)
    assert align.description == "which are large"
    assert not align.persist_result


def test_damage_is_repaired_through_prefect(world, notes, runner):
    session = world.session(runner=runner)
    first = session.run(world.request(session)).run
    folder = session.store.path(first.stage("edited.factors").key) / "arrays.zarr" / "region" / "c"
    chunk = next(path for path in folder.rglob("*") if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-1])
    notes.clear()
    run = session.run(world.request(session, svd__k=3)).run
    assert notes.calls() == {"factors": 1, "mix": 1, "scores": 1}
    assert run.stage("edited.factors").status == "computed"


def test_concurrent_tasks_give_the_same_results(world, notes, prefect_api):
    from prefect import flow
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from prefect.task_runners import ThreadPoolTaskRunner

    from svdaudio.engine.run import RunWork
    from svdaudio.flows.stages import walk

    session = world.session()
    request = world.request(session)
    work = RunWork(request=request, store=session.store, models={}, run=session.new_run(request))
    finished = []

    @flow(name="toy", task_runner=ThreadPoolTaskRunner(max_workers=3))
    def several():
        finished.append(walk(work, on_cluster=True))

    with temporary_settings({PREFECT_API_URL: prefect_api}):
        several()
    assert finished[0].state == "finished"
    assert sum(notes.calls().values()) == len(request.table)
    assert {e.key for e in session.run(request).run.stages} == {e.key for e in finished[0].stages}


def test_a_stopped_run_ends_between_stages_and_is_resumed(world, notes, runner, prefect_api):
    session = world.session(runner=runner)
    request = world.request(session)
    done = []
    run = session.run(request, progress=done.append, stopping=lambda: notes.calls()["factors"] == 1).run
    assert run.state == "interrupted"
    assert "original.align" in states(prefect_api, run.id)
    assert "mix" not in states(prefect_api, run.id)
    resumed = session.resume(run.id).run
    assert (resumed.id, resumed.state, resumed.attempts) == (run.id, "finished", 2)
    assert sum(notes.calls().values()) == len(NODES)


def test_a_trial_leaves_no_run(world, runner):
    session = world.session(runner=runner)
    result = session.run(world.request(session), record=False)
    assert {entry.status for entry in result.run.stages} == {"computed"}
    assert session.store.runs.ids() == []
    assert session.arrays(result.run)["mix"]["waveform"].shape == (2205,)


def test_a_missing_server_is_reported(world, monkeypatch, tmp_path):
    from svdaudio.flows.run import PrefectRunner

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    session = world.session(runner=PrefectRunner())
    with pytest.raises(RunError, match="no Prefect server is running"):
        session.run(world.request(session))
    assert session.store.runs.ids() == []


def test_a_file_name_that_is_not_utf8_is_shown_with_escapes(world, runner, prefect_api):
    odd = world.folder / os.fsdecode(b"\xe9 [b](c) <i>\x1b.txt")
    world.files["original"] = world.files["original"].rename(odd)
    session = world.session(runner=runner)
    run = session.run(world.request(session)).run
    assert run.state == "finished"
    flow_run, _ = flow_run_and_tasks(prefect_api, run.id)
    assert flow_run.parameters["files"]["original"].endswith("/\\udce9 [b](c) <i>\\x1b.txt")


def test_a_batch_is_a_flow_with_a_task_for_each_node_of_each_pair(world, notes, runner, prefect_api):
    from svdaudio.engine.batches import Prepared

    session = world.session(runner=runner)
    prepared = [
        Prepared(name=name, request=world.request(session, svd__k=k)) for name, k in (("a", 1), ("b {x} [y]", 2))
    ]
    opened = session.open_batch(prepared, files={}, title="two")
    seen = []
    record, runs = session.run_batch(opened, progress=seen.append)
    assert (record.state, record.runner) == ("finished", "prefect")
    assert [run.state for run in runs] == ["finished"] * 2
    assert notes.calls() == {"image": 2, "align": 2, "factors": 2, "mix": 2, "scores": 2}
    assert ("a", "started", "mix") in {(one.pair, one.event.kind, one.event.node) for one in seen}
    flow_run, tasks = flow_run_and_tasks(prefect_api, record.id)
    assert set(tasks) == {f"{name}: {node}" for name in ("a", "b {x} [y]") for node in NODES}
    assert flow_run.state_name == "Completed"
    assert flow_run.parameters["pairs"] == ["a", "b {x} [y]"]

    here = world.session("in-process")
    _, others = here.run_batch(here.open_batch(prepared, files={}, title="two"))
    assert [{entry.node: entry.key for entry in run.stages} for run in runs] == [
        {entry.node: entry.key for entry in run.stages} for run in others
    ]
    assert artifacts(here.store) == artifacts(session.store)

    notes.fail("scores", "too loud")
    more = session.open_batch(
        [Prepared(name="c", request=world.request(session, seed=1))], files={}, title="one that fails"
    )
    record, _ = session.run_batch(more)
    flow_run, tasks = flow_run_and_tasks(prefect_api, record.id)
    assert tasks["c: mixed.scores"].state.message == "too loud."
    assert (flow_run.state_name, flow_run.state.message) == ("Failed", "1 of 1 pairs failed")


def test_a_batch_is_divided_among_processes_with_one_flow_each(world, notes, runner):
    from svdaudio.engine.batches import Prepared

    session = world.session(runner=runner)
    prepared = [Prepared(name=f"k{k}", request=world.request(session, svd__k=k)) for k in (1, 2)]
    record, runs = session.run_batch(session.open_batch(prepared, files={}, title="two"), n_workers=2)
    assert (record.state, [run.state for run in runs]) == ("finished", ["finished"] * 2)
    assert os.getpid() not in notes.processes("mix")
    assert len(notes.processes("mix")) == 2


def test_a_cluster_cannot_run_a_batch():
    from svdaudio.flows.run import PrefectRunner

    with pytest.raises(InputError, match="--runner dask cannot run a batch"):
        PrefectRunner(name="dask").batch_executor("a batch")


KILLED = """
import sys, time
from pathlib import Path
from cluster_toy import World
from svdaudio.flows.run import PrefectRunner
from svdaudio.cli.sessions import log_to_stderr

log_to_stderr()
world = World(Path(sys.argv[1]))
session = world.session(runner=PrefectRunner(api_url=sys.argv[2]))
run = session.run(world.request(session)).run
print(run.state, time.time(), flush=True)
"""


def test_a_server_that_dies_costs_seconds_but_no_result(world, notes, tmp_path):
    """In a separate process, because pending data is sent to the server when a process ends."""
    from svdaudio.flows import server

    running = server.start(tmp_path / "server")
    try:
        notes.delay("mix", 3)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PREFECT_HOME": str(tmp_path / "client")}
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path), running.api_url],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_for(lambda: notes.calls()["mix"])
        os.killpg(running.pid, signal.SIGKILL)
        out, err = process.communicate(timeout=60)
        ended = time.time()
    finally:
        server.stop(tmp_path / "server")
    assert process.returncode == 0, err
    state, finished_at = out.split()
    assert state == "finished"
    assert ended - float(finished_at) < 15
    assert err.count("\n") == 1, err
    assert "no longer answers: the run is complete, but its page is not" in err
    assert notes.calls()["scores"] == 1
    run = world.session().load("latest")
    assert Path(run.results["audio"]["mixed"]).is_file()
