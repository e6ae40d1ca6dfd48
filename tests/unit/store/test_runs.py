from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from svdaudio.errors import RunError, StoreError
from svdaudio.store import Action, FileUse, FolderRunLog, RunRecord, StageEntry
from svdaudio.store.runs import new_run_id

RUN = RunRecord(
    id="20250101-120000-000-ab12",
    kind="manipulate",
    created_at="2025-01-01T12:00:00.000+00:00",
    files={"original": FileUse(path="/a.jpg", digest="aa")},
    config={"svd": {"k": 5}},
    remarks=("odd",),
    targets=("manipulated.scores",),
    stages=(
        StageEntry(
            node="mix",
            stage="mix",
            status="computed",
            reason="never computed",
            key="a" * 64,
            notes=("a remark",),
            outputs={"embedding": "dd"},
            action=Action(stage="mix", version=1, parameters={"k": 5}, inputs={}, models={}),
        ),
        StageEntry(node="manipulated.scores", stage="scores"),
    ),
)


@pytest.fixture
def runs(tmp_path):
    return FolderRunLog(tmp_path / "runs")


def test_round_trip():
    assert RunRecord.from_json(RUN.to_json()) == RUN


def test_entries_are_put_in_place():
    done = StageEntry(node="manipulated.scores", stage="scores", status="cached")
    new = StageEntry(node="new", stage="image")
    run = RUN.with_stage(done).with_stage(new)
    assert [entry.node for entry in run.stages] == ["mix", "manipulated.scores", "new"]
    assert run.stage("manipulated.scores") == done
    assert run.stage("nowhere") is None


def test_ids_sort_by_time_and_differ():
    now = datetime(2025, 1, 1, tzinfo=UTC)
    ids = [new_run_id(now + timedelta(milliseconds=i * 7)) for i in range(300)]
    assert ids == sorted(ids)
    assert len({new_run_id(now) for _ in range(20)}) > 1


def test_a_run_is_found_by_beginning_end_or_age(runs):
    other = replace(RUN, id="20250102-120000-000-cd34")
    runs.write(RUN)
    runs.write(other)
    assert runs.load("20250101") == runs.load("ab12") == runs.load(RUN.id) == RUN
    assert runs.load("latest") == runs.load("last") == other
    with pytest.raises(RunError, match="names 2 runs"):
        runs.load("2025")
    for name in ("nothing", ""):
        with pytest.raises(RunError, match="there is no run"):
            runs.load(name)


def test_no_runs_at_all(runs):
    with pytest.raises(RunError, match="there are no runs"):
        runs.load("latest")
    assert not runs.is_active("x")


def test_a_damaged_record_is_passed_over_but_not_when_asked_for(runs):
    runs.write(RUN)
    (runs.folder / f"{RUN.id}.json").write_text(RUN.to_json()[:-9])
    assert list(runs) == []
    with pytest.raises(RunError, match="is damaged"):
        runs.load("latest")


def test_nothing_is_left_of_a_failed_write(runs, tmp_path):
    (tmp_path / "runs").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        runs.write(RUN)
    with pytest.raises(StoreError), runs.hold(RUN.id):
        pass
    (tmp_path / "runs").unlink()
    runs.write(RUN)
    with pytest.raises(ValueError, match="JSON compliant"):
        runs.write(replace(RUN, results={"score": float("nan")}))
    assert [path.name for path in runs.folder.iterdir()] == [f"{RUN.id}.json"]


def test_holding_a_run(runs):
    with runs.hold("a"):
        assert runs.is_active("a")
        assert not runs.is_active("b")
        with pytest.raises(RunError, match="still going"), runs.hold("a"):
            pass
    assert not runs.is_active("a")
    with runs.hold("a"):
        pass
