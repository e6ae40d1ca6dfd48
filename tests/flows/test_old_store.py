"""A store of svdaudio 0.1.0 is readable, and everything in it is found: see tests/fixtures/store-0.1/README.md.

Nothing is computed, so the tests do not depend on the CPU: floats are read as they were written.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pinned
import pytest
import toy_method
from pinned import OLD_BASELINE, OLD_BATCH, OLD_PAIR
from quick_pictures import skip_rendering

NOTE = "note: generate.duration_s = 0.5 is outside the recommended 2.5 to 10\n"
N_NODES = 32
RUNS = [
    ("batch", "finished"), ("manipulate", "finished"), ("manipulate", "finished"),
    ("manipulate", "finished"),
    ("manipulate", "finished"),
    ("batch", "interrupted"), ("manipulate", "interrupted"), ("manipulate", "interrupted"),
    ("manipulate", "failed"),
    ("manipulate", "interrupted"),
    ("baseline", "finished"),
]  # fmt: skip
"""Kind and state of each run, newest first."""
LAST_RUN, RUN_WITH_TOP_K, STOPPED_BATCH, FAILED, STOPPED = 3, 4, 5, 8, 9
"""Positions in the list above."""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return pinned.unpack_old_store(tmp_path_factory.mktemp("written"))


@pytest.fixture
def old(written, tmp_path, monkeypatch):
    """A copy of the store as it was written, set as the store of commands; and the records of its runs."""
    skip_rendering(monkeypatch)
    folder = shutil.copytree(written, tmp_path / "store")
    monkeypatch.setenv("SVDAUDIO_STORE", str(folder))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    ids = sorted((path.stem for path in (folder / "runs").glob("*.json")), reverse=True)
    records = [json.loads((folder / "runs" / f"{name}.json").read_text()) for name in ids]
    return SimpleNamespace(folder=folder, ids=ids, records=records, objects=lambda: contents(folder / "objects"))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


REACH = {"removed.reach", "added.reach"}
"""Nodes added to the method since, which measure others."""


def unchanged_but_for_the_reach(old, objects):
    """Whether only artifacts of the reach were added and no other file changed."""
    now = old.objects()
    added = {path: data for path, data in now.items() if path not in objects}
    stages = {json.loads(data)["stage"] for path, data in added.items() if path.name == "record.json"}
    return stages <= {"reach"} and {path: data for path, data in now.items() if path not in added} == objects


def stages_of(cli, run):
    return {stage["stage"]: stage for stage in cli("show", run, "--json").json()["stages"]}


def keys_of(record):
    return {stage["node"]: stage["key"] for stage in record["stages"]}


def test_plan_reports_everything_as_cached(old, cli):
    result = cli("plan", *OLD_PAIR, "--json")
    assert (result.code, result.err) == (0, NOTE)
    stages = result.json()["stages"]
    assert {stage["stage"] for stage in stages if stage["status"] != "cached"} == REACH
    stages = [stage for stage in stages if stage["stage"] not in REACH]
    assert {(stage["status"], stage["reason"]) for stage in stages} == {("cached", "unchanged")}
    assert {stage["stage"] for stage in stages} == set(keys_of(old.records[LAST_RUN]))
    assert len(stages) == N_NODES


def test_run_computes_nothing_and_changes_no_file(old, cli):
    objects, out = old.objects(), contents(old.folder / "out")
    result = cli("run", *OLD_PAIR, "--json")
    assert (result.code, result.err.splitlines()[0]) == (0, NOTE.strip())
    found, before = result.json(), old.records[LAST_RUN]
    assert {stage["stage"] for stage in found["stages"] if stage["status"] != "cached"} == REACH
    assert {s["stage"]: s["key"] for s in found["stages"] if s["stage"] not in REACH} == keys_of(before)
    assert found["scores"] == before["results"]["scores"]
    assert [Path(path).relative_to(old.folder) for path in found["audio"].values()] == [
        Path(path).relative_to("/store") for path in before["results"]["audio"].values()
    ]
    assert unchanged_but_for_the_reach(old, objects)
    now = contents(old.folder / "out")
    assert {path for path in now if path.name != ".report.json"} == out.keys()
    assert {path for path, data in out.items() if now[path] != data and path.suffix != ".png"} <= {
        path for path in out if path.name == ".pictures.json"
    }, "only pictures are drawn again, in their present form"


def test_a_run_with_a_finish_computes_only_the_finish(old, cli):
    result = cli("run", *pinned.NEW_PAIR, "--json")
    assert result.code == 0, result.err
    found, before = result.json(), old.records[LAST_RUN]
    computed = {stage["stage"] for stage in found["stages"] if stage["status"] == "computed"}
    assert computed == {f"{sound}.finish" for sound in found["audio"]} | REACH
    assert {stage["stage"]: stage["key"] for stage in found["stages"] if stage["stage"] not in computed} == keys_of(
        before
    )
    assert found["scores"] == before["results"]["scores"]
    diff = cli("compare", old.ids[LAST_RUN], found["run"], "--json").json()
    assert "finish.form" in diff["parameters"]
    assert diff["stages"] == []


def test_a_second_run_writes_nothing(old, cli):
    """The first run adds inputs of the report that earlier versions did not store."""
    assert cli("run", *OLD_PAIR).code == 0
    before = contents(old.folder / "out")
    assert cli("run", *OLD_PAIR).code == 0
    assert contents(old.folder / "out") == before


def test_sounds_are_rewritten_from_the_store(old, cli):
    sounds = {path: path.read_bytes() for path in old.folder.glob("out/*/*.wav")}
    for path in sounds:
        path.unlink()
    assert cli("baseline", *OLD_BASELINE).code == cli("run", *OLD_PAIR).code == cli("batch", *OLD_BATCH).code == 0
    cli("run", *OLD_PAIR, "--set", "locals.top_k=8")
    assert {path: path.read_bytes() for path in old.folder.glob("out/*/*.wav")} == sounds


def test_baseline_computes_nothing(old, cli):
    objects = old.objects()
    result = cli("baseline", *OLD_BASELINE, "--json")
    assert (result.code, result.err) == (0, NOTE)
    stages = {stage["stage"]: stage for stage in result.json()["stages"]}
    assert {stage["status"] for stage in stages.values()} == {"cached"}
    assert {name: stage["key"] for name, stage in stages.items()} == keys_of(old.records[-1])
    assert old.objects() == objects


def test_batch_computes_nothing(old, cli):
    objects = old.objects()
    result = cli("batch", *OLD_BATCH, "--json")
    assert result.code == 0
    found = result.json()
    assert (found["counts"], [row["name"] for row in found["pairs"]]) == ({"finished": 2}, ["as it is", "weaker"])
    assert found["batch"] not in old.ids
    assert unchanged_but_for_the_reach(old, objects)


def test_a_stopped_batch_is_recognised_by_its_requests(old, cli):
    objects = old.objects()
    result = cli("batch", *OLD_BATCH, "--no-baselines", "--json")
    assert result.code == 0, result.err
    assert "continuing" in result.err
    found = result.json()
    assert (found["batch"], found["counts"]) == (old.ids[STOPPED_BATCH], {"finished": 2})
    assert [row["run"] for row in found["pairs"]] == [
        member["run"] for member in old.records[STOPPED_BATCH]["results"]["members"]
    ]
    assert unchanged_but_for_the_reach(old, objects)


def test_resume_continues_a_stopped_run_and_batch(old, cli):
    pinned.relocate(old.folder)
    objects = old.objects()
    batch = cli("resume", "--json")
    assert batch.code == 0, batch.err
    assert (batch.json()["batch"], batch.json()["counts"]) == (old.ids[STOPPED_BATCH], {"finished": 2})
    run = cli("resume", old.ids[STOPPED], "--json")
    assert (run.code, run.err) == (0, "")
    assert {stage["status"] for stage in run.json()["stages"]} == {"cached"}
    assert keys_of({"stages": [{**s, "node": s["stage"]} for s in run.json()["stages"]]}) == keys_of(
        old.records[LAST_RUN]
    ), "a run begun without a finish ends without one"
    assert old.objects() == objects


def test_resume_of_a_failed_run_fails_with_the_same_error(old, cli):
    pinned.relocate(old.folder)
    assert "the mask covers no patch" in old.records[FAILED]["error"]
    again = cli("resume", old.ids[FAILED])
    assert (again.code, again.out) == (2, "")
    assert "the mask covers no patch" in again.err.splitlines()[-1]


def test_resume_reports_missing_pictures(old, cli):
    result = cli("resume", old.ids[STOPPED])
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "/pictures/dog_cat.jpg" in result.err


def test_runs_lists_every_run(old, cli):
    result = cli("runs", "--json")
    assert (result.code, result.err) == (0, "")
    runs = result.json()["runs"]
    assert [run["run"] for run in runs] == old.ids
    assert [(run["kind"], run["state"]) for run in runs] == RUNS
    assert all(name in cli("runs").out for name in old.ids)


@pytest.mark.parametrize("place", range(len(RUNS)))
def test_show_and_inspect_read_every_run(old, cli, place):
    name, record = old.ids[place], old.records[place]
    for words in (["show", name], ["show", name, "--graph"], ["show", name, "--prov"], ["inspect", name]):
        result = cli(*words)
        assert (result.code, result.err) == (0, ""), words
    shown = cli("show", name, "--json").json()
    assert shown["created_at"] == record["created_at"]
    assert shown["results"] == record["results"]
    assert [stage["outputs"] for stage in shown["stages"]] == [stage["outputs"] for stage in record["stages"]]
    assert {n: v["from"] for n, v in shown["config"].items() if v["from"] != "default"} == {
        n: v for n, v in record["sources"].items() if v != "default"
    }
    described = cli("inspect", name, "--json").json()["stages"]  # reads every array and checks its digest
    assert {stage["stage"]: {a["name"]: a["digest"] for a in stage["arrays"]} for stage in described} == {
        stage["node"]: stage["outputs"] for stage in record["stages"] if stage["outputs"]
    }


def test_compare_reads_two_old_runs(old, cli):
    result = cli("compare", old.ids[RUN_WITH_TOP_K], old.ids[LAST_RUN], "--json")
    assert (result.code, result.err) == (0, "")
    found = result.json()
    assert {name: (row["a"], row["b"]) for name, row in found["parameters"].items()} == {"locals.top_k": (8, 16)}
    stages = {stage["stage"]: (stage["reason"], stage["same_outputs"]) for stage in found["stages"]}
    assert stages == dict.fromkeys(["original.locals", "edited.locals"], ("locals.top_k changed 8 → 16", True))


def test_plan_compares_with_old_runs(old, cli):
    result = cli("plan", *OLD_PAIR, "--set", "svd.alpha=0.15", "--json")
    mix = next(stage for stage in result.json()["stages"] if stage["stage"] == "mix")
    assert (mix["status"], mix["reason"]) == ("run", "svd.alpha changed 0.2 → 0.15")


def test_the_cache_is_listed_and_explained(old, cli):
    result = cli("cache", "ls", "--limit", "1000", "--json")
    assert (result.code, result.err) == (0, "")
    listed = {row["key"]: row["stage"] for row in result.json()["artifacts"]}
    assert set(listed) == {path.parent.name for path in old.folder.glob("objects/*/*/record.json")}
    assert cli("cache", "du", "--json").json()["artifacts"] == len(listed)
    key = keys_of(old.records[LAST_RUN])["mix"]
    why = cli("cache", "why", key, "--json")
    assert (why.code, why.err) == (0, "")
    assert why.json()["host"] == "example"
    assert why.json()["inputs"]["direct"]["artifacts"] == [keys_of(old.records[LAST_RUN])["edited.tokens"]]
    assert old.ids[LAST_RUN] in {use["run"] for use in why.json()["used_by"]}


def test_gc_would_remove_nothing(old, cli):
    result = cli("gc", "--dry-run", "--grace-hours", "0", "--json")
    assert (result.code, result.err) == (0, "")
    found = result.json()
    assert (found["runs"], found["artifacts"], found["remarks"]) == ([], [], [])
    assert {left["kind"] for left in found["leftovers"]} <= {"lock"}


def test_gc_removes_old_runs_and_the_artifacts_that_only_they_used(old, cli):
    found = cli("gc", "--keep-days", "0", "--grace-hours", "0", "--json").json()
    assert set(found["runs"]) == set(old.ids)
    assert found["kept"]["artifacts"] == 0
    assert old.objects() == {}


def test_doctor_finds_nothing_wrong_with_the_store(old, cli):
    checks = {check["name"]: check for check in cli("doctor", "--json").json()["checks"]}
    assert (checks["store"]["state"], checks["store"]["found"]) == ("ok", f"{old.folder}, {len(RUNS)} runs")
    assert checks["leftovers"]["state"] == "ok"
    assert "quarantine" not in checks
    assert "runs" not in checks


def test_the_whole_store_is_copied(old, cli):
    result = cli("store", "copy", old.folder, old.folder.parent / "copy", "--json")
    assert (result.code, result.err) == (0, "")
    found = result.json()
    assert (found["complete"], found["damaged"], found["gone"]) == (True, [], [])
    assert set(found["runs"]) == set(old.ids)
    copied = {path.parent.name for path in (old.folder.parent / "copy").glob("objects/*/*/record.json")}
    assert copied == {path.parent.name for path in old.folder.glob("objects/*/*/record.json")}


def test_a_sweep_over_stored_settings_computes_nothing(old, cli):
    objects = old.objects()
    for more in ([], ["--embeddings-only"]):
        assert cli("sweep", *OLD_PAIR, "--grid", "svd.alpha=0.2,0.3", *more, "--json").code == 0
    assert unchanged_but_for_the_reach(old, objects)


def test_the_fields_of_json(old, cli):
    pinned.relocate(old.folder)

    def call(*words):
        result = cli(*words)
        assert result.code == 0, result.err
        return result.out

    kept = pinned.golden("json_fields")
    del kept["demo"]
    found = pinned.json_fields(call, old.folder)
    assert set(found) == set(kept)
    for command, names in kept.items():
        assert found[command] == names, command


def test_the_fields_of_json_of_the_demo(cli, monkeypatch, tmp_path):
    toy_method.install(monkeypatch, tmp_path)
    assert pinned.fields(cli("demo", "--json").out) == pinned.golden("json_fields")["demo"]
