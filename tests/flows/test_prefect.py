"""The Prefect runner does what the in-process runner does, and Prefect's page shows it."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import partial

import pytest

from svdaudio.engine import run as in_process
from svdaudio.engine.request import new_run
from svdaudio.errors import InputError, RunError
from svdaudio.store import LocalStore

pytestmark = [
    pytest.mark.filterwarnings("default"),  # Prefect and what it stands on have warnings of their own
]


@pytest.fixture(scope="module")
def prefect_runner():
    """Imported late: Prefect takes seconds."""
    from flows import prefect_runner

    return prefect_runner


def task_states(api_url, run_id):
    """Task run name → state name, as the server has it."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
    from prefect.settings import PREFECT_API_URL, temporary_settings

    wanted = FlowRunFilter(name=FlowRunFilterName(any_=[run_id]))
    with temporary_settings({PREFECT_API_URL: api_url}), get_client(sync_client=True) as client:
        for _ in range(100):  # task runs reach the server as events, a moment later
            states = {t.name: t.state_name for t in client.read_task_runs(flow_run_filter=wanted)}
            if states and not set(states.values()) & {"Pending", "Running"}:
                break
            time.sleep(0.1)
        flow_run = client.read_flow_runs(flow_run_filter=wanted)[0]
    return states, flow_run


def comparable(run):
    """A record less what differs from run to run."""
    stages = tuple(replace(entry, seconds=0.0) for entry in run.stages)
    return replace(run, id="", created_at="", seconds=0.0, stages=stages, traceback=None)


def artifacts(store):
    """Key → bytes of every stored chunk."""
    return {
        key: {
            str(p.relative_to(store.path(key))): p.read_bytes() for p in store.path(key).rglob("c/**/*") if p.is_file()
        }
        for key in list(store.keys())
    }


def test_both_runners_give_the_same_records_and_artifacts(toy, prefect_runner, prefect_api, tmp_path):
    through_prefect = partial(prefect_runner.execute_run, api_url=prefect_api)
    stores = {
        "in process": LocalStore(tmp_path / "a", durable=False),
        "prefect": LocalStore(tmp_path / "b", durable=False),
    }
    runners = {"in process": in_process.execute_run, "prefect": through_prefect}
    records, events, counts = {}, {}, {}
    for name, store in stores.items():
        toy.store = store
        toy.failing.clear()
        told = []
        records[name] = [toy.run(runner=runners[name], progress=told.append)]
        counts[name] = [dict(toy.calls)]
        for changes in ({}, {"svd__alpha": 0.2}, {"align__threshold": 0.55}):
            records[name].append(toy.run(toy.request(**changes), runner=runners[name], progress=told.append))
            counts[name].append(dict(toy.calls))
        toy.failing["mix"] = InputError("the region is empty")
        with pytest.raises(InputError, match="the region is empty"):
            toy.run(toy.request(svd__k=9), runner=runners[name], progress=told.append)
        records[name].append(store.runs.load("latest"))
        counts[name].append(dict(toy.calls))
        events[name] = [
            (e.kind, e.node, e.n_done, e.n_total) for e in told if e.kind in ("finished", "failed", "skipped")
        ]

    assert [comparable(run) for run in records["in process"]] == [comparable(run) for run in records["prefect"]]
    assert counts["in process"] == counts["prefect"]
    assert events["in process"] == events["prefect"]
    assert artifacts(stores["in process"]) == artifacts(stores["prefect"])
    assert [run.state for run in records["prefect"]] == ["finished"] * 4 + ["failed"]

    states, flow_run = task_states(prefect_api, records["prefect"][0].id)
    assert states == dict.fromkeys(toy.request().table, "Completed")
    assert flow_run.parameters["config"]["svd"]["k"] == 5
    states, _ = task_states(prefect_api, records["prefect"][2].id)
    assert {name for name, state in states.items() if state == "Completed"} == {"mix", "manipulated.scores"}
    assert {state for name, state in states.items() if name not in ("mix", "manipulated.scores")} == {"Cached"}
    states, flow_run = task_states(prefect_api, records["prefect"][4].id)
    assert states["mix"] == "Failed"
    assert "manipulated.scores" not in states
    assert flow_run.state_name == "Failed"


def test_damage_is_mended_through_prefect_too(toy, prefect_runner, prefect_api, caplog):
    first = toy.run()
    chunk = next(
        p
        for p in (toy.store.path(first.stage("edited.factors").key) / "arrays.zarr" / "region" / "c").rglob("*")
        if p.is_file()
    )
    chunk.write_bytes(chunk.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING):
        run = toy.run(toy.request(svd__k=3), runner=partial(prefect_runner.execute_run, api_url=prefect_api))
    assert dict(toy.calls) == {"factors": 1, "mix": 1, "scores": 1}
    assert run.stage("edited.factors").status == "computed"


def test_several_tasks_under_way_give_the_same(toy, prefect_runner, prefect_api):
    from prefect import flow
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from prefect.task_runners import ThreadPoolTaskRunner

    request = toy.request()
    finished = []

    @flow(name="toy", task_runner=ThreadPoolTaskRunner(max_workers=3))
    def several():
        finished.append(
            prefect_runner.walk(request, toy.store, toy.models, run=new_run(request), body=toy.body, n_parallel=3)
        )

    with temporary_settings({PREFECT_API_URL: prefect_api}):
        several()
    assert finished[0].state == "finished"
    assert sum(toy.calls.values()) == len(request.table)
    assert {e.key for e in toy.run().stages} == {e.key for e in finished[0].stages}


def test_without_a_server_it_says_so(toy, prefect_runner, monkeypatch, tmp_path):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(RunError, match="there is no Prefect server"):
        toy.run(runner=prefect_runner.execute_run)
    assert toy.store.runs.ids() == []
