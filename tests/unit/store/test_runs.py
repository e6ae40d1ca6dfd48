from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from svdaudio.errors import NewerRecordError, RunError, StoreError
from svdaudio.store import Action, FileUse, FolderRunLog, RunRecord, StageEntry
from svdaudio.store.runs import new_run_id, newest_first
from svdaudio.store.sealed import seal, unseal

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


def test_entries_are_updated_in_place():
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
    with pytest.raises(RunError, match="matches 2 runs"):
        runs.load("2025")
    for name in ("nothing", ""):
        with pytest.raises(RunError, match="does not exist"):
            runs.load(name)


def test_no_runs_at_all(runs):
    with pytest.raises(RunError, match="contains no runs"):
        runs.load("latest")
    assert not runs.is_active("x")


def test_a_damaged_record_is_skipped_in_lists_but_an_error_when_loaded(runs):
    runs.write(RUN)
    (runs.folder / f"{RUN.id}.json").write_text(RUN.to_json()[:-9])
    assert list(runs) == []
    with pytest.raises(RunError, match="is damaged"):
        runs.load("latest")


def test_a_failed_write_leaves_nothing(runs, tmp_path):
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
        with pytest.raises(RunError, match="still active"), runs.hold("a"):
            pass
    assert not runs.is_active("a")
    with runs.hold("a"):
        pass


ODD = ["/etc", "../up", "..", ".hidden", "", "a/b", "a\\b", "\x1b[2J", "a\nb", 5, True, [], {}, "a" * 300, "\0"]


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_a_record_with_an_invalid_id_key_or_name_is_damaged(odd):
    for change in (
        lambda fields: fields.update(id=odd),
        lambda fields: fields.update(kind=odd),
        lambda fields: fields["stages"][0].update(key=odd),
        lambda fields: fields["stages"][0].update(node=odd),
        lambda fields: fields["stages"][0].update(stage=odd),
        lambda fields: fields["stages"][0].update(status=odd),
        lambda fields: fields["stages"][0]["outputs"].update(embedding=odd),
        lambda fields: fields["stages"][0]["action"].update(stage=odd),
        lambda fields: fields["files"]["original"].update(digest=odd or "/"),
        lambda fields: fields.update(files={odd if isinstance(odd, str) else "a/b": {"path": "", "digest": ""}}),
        lambda fields: fields.update(created_at=odd or "yesterday"),
        lambda fields: fields.update(state=odd),
        lambda fields: fields.update(stages=odd or "none"),
        lambda fields: fields.update(results={"members": [{"run": odd}]}),
        lambda fields: fields.update(results={"members": odd or "none"}),
        lambda fields: fields.update(remarks=odd or "none"),
        lambda fields: fields.update(seconds=odd if odd != 5 else "5"),
        lambda fields: fields.update(surprise=odd),
    ):
        fields = unseal(RUN.to_json())
        change(fields)
        with pytest.raises(ValueError, match="incomplete or malformed"):
            RunRecord.from_json(seal(fields))


@pytest.mark.parametrize(
    "run_id",
    ["20261125-093000-123-ab12", "20261125-093000-123-ab12-batch", "a", "another", "20250101-000000-000-aaaa"],
)
def test_every_kind_of_id_that_was_ever_written_is_read(runs, run_id):
    run = replace(RUN, id=run_id, created_at="", files={"pairs": FileUse(path="/folder", digest="")})
    runs.write(run)
    assert runs.ids() == [run_id]
    assert runs.read(run_id) == run


def test_the_record_of_another_run_is_damaged(runs):
    runs.write(RUN)
    (runs.folder / "20250101-120000-000-ffff.json").write_text(RUN.to_json())
    assert list(runs) == [RUN]
    with pytest.raises(RunError, match="belongs to another run"):
        runs.load("ffff")


@pytest.mark.parametrize("run_id", ["../up", "/etc/up", "..", "a/../../up", ".up", "", "a\0"])
def test_ids_cannot_escape_the_folder(runs, tmp_path, run_id):
    runs.write(RUN)
    (tmp_path / "up.json").write_text(RUN.to_json())
    with pytest.raises(FileNotFoundError):
        runs.read(run_id)
    assert not runs.remove(run_id)
    assert not runs.is_active(run_id)
    with pytest.raises(StoreError, match="not a valid run id"):
        runs.write(replace(RUN, id=run_id))
    with pytest.raises(StoreError, match="not a valid run id"), runs.hold(run_id):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "up.json"]


def test_a_run_from_the_future_is_not_the_latest(runs):
    """The clock was set back: earlier runs have future dates."""
    now = datetime.now(UTC)
    ids = [new_run_id(now + timedelta(days=days)) for days in (-2, -1, 0, 400, 30_000)]
    assert newest_first(ids, now=now) == [ids[2], ids[1], ids[0], ids[4], ids[3]]
    for run_id in ids:
        runs.write(replace(RUN, id=run_id))
    assert runs.load("latest").id == next(iter(runs)).id == ids[2]
    soon = new_run_id(now + timedelta(minutes=5))  # on another machine's clock
    assert newest_first([ids[2], soon], now=now) == [soon, ids[2]]
    assert newest_first(["another", "some"], now=now) == ["some", "another"]
    assert newest_first([ids[3], ids[4]], now=now) == [ids[4], ids[3]]


def test_a_record_of_a_newer_format_is_left_alone_and_named(runs, caplog):
    runs.write(RUN)
    path = runs.folder / f"{RUN.id}.json"
    text = path.read_text().replace('"format": 2', '"format": 3')
    path.write_text(text)
    assert list(runs) == []
    assert f"run {RUN.id} in" in caplog.text
    assert "because a newer version of svdaudio wrote it" in caplog.text
    with pytest.raises(RunError, match=r"was written by a newer version.*record format 3, not 2\. Update svdaudio"):
        runs.load("latest")
    with pytest.raises(NewerRecordError, match=rf"{RUN.id} in \S+ was written by a newer version"):
        FolderRunLog(runs.folder).write(replace(RUN, state="failed"))
    assert path.read_text() == text
