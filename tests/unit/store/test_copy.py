"""Copies between stores: checked, resumable, with identical bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy_record import toy_record

from svdaudio.errors import InputError, StoreError
from svdaudio.store import LocalStore, RunRecord, StageEntry, open_store
from svdaudio.store.copy import copy_store

RUN = RunRecord(id="20250101-000000-000-aaaa", kind="manipulate", created_at="", files={}, config={}, attempts=1)


def filled(store, n=3):
    records = []
    for k in range(n):
        array = np.full((4, 5), k, np.float32)
        records.append(store.save(toy_record({"x": array}, k=k), {"x": array}))
    entry = StageEntry(node="one", stage="toy", status="computed", key=records[0].key, outputs={"x": "d"})
    store.runs.write(replace(RUN, state="finished", stages=(entry,)))
    return records


@pytest.fixture
def source(tmp_path):
    return LocalStore(tmp_path / "source", durable=False)


@pytest.fixture
def target(s3, tmp_path):
    return open_store(s3.location(f"{tmp_path.name}/target"))


def test_a_store_round_trips_through_a_copy(source, target, tmp_path):
    records = filled(source)
    report = copy_store(source, target)
    assert report.complete
    assert set(report.copied) == {record.key for record in records} == set(target.keys())
    assert report.n_bytes == 3 * 4 * 5 * 4
    assert list(target.runs) == list(source.runs)
    back = LocalStore(tmp_path / "back", durable=False)
    copy_store(target, back)
    for record in records:
        assert back.find(record.key) == record
        np.testing.assert_array_equal(back.load(record.key)["x"], source.load(record.key)["x"])


def test_an_interrupted_copy_resumes(source, target):
    records = filled(source)
    copied = []

    def cut(key, outcome):
        copied.append(key)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_store(source, target, on_artifact=cut)
    n_there = len(list(target.keys()))
    assert n_there >= 1
    assert target.runs.ids() == [], "a run was written before its artifacts"
    report = copy_store(source, target)
    assert len(report.there) == n_there
    assert set(report.copied) | set(report.there) == {record.key for record in records}
    assert report.runs == (RUN.id,)
    assert copy_store(source, target).copied == ()


def test_copying_one_run_takes_only_its_artifacts(source, target):
    records = filled(source)
    report = copy_store(source, target, runs=[source.runs.load("latest")])
    assert report.copied == (records[0].key,)
    assert set(target.keys()) == {records[0].key}


def test_damaged_artifacts_are_not_copied(source, target):
    records = filled(source)
    chunk = source.path(records[1].key) / "arrays.zarr" / "x" / "c" / "0" / "0"
    content = bytearray(chunk.read_bytes())
    content[-6] ^= 1
    chunk.write_bytes(bytes(content))
    report = copy_store(source, target)
    assert report.damaged == (records[1].key,)
    assert not report.complete
    assert set(target.keys()) == {records[0].key, records[2].key}


def test_missing_artifacts_of_a_run_are_reported(source, target):
    records = filled(source)
    source.quarantine(records[0].key, "on purpose")
    report = copy_store(source, target, runs=list(source.runs))
    assert report.gone == (records[0].key,)
    assert report.runs == (RUN.id,)


def test_active_runs_and_newer_runs_are_not_overwritten(source, target):
    filled(source)
    with source.runs.hold(RUN.id):
        assert copy_store(source, target).runs == ()
    newer = replace(RUN, state="failed", attempts=2)
    target.runs.write(newer)
    assert copy_store(source, target).runs == ()
    assert list(target.runs) == [newer]


def test_a_target_that_cannot_be_written_is_an_error(source, target, tmp_path):
    filled(source)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be"):
        copy_store(source, LocalStore(tmp_path / "file" / "below"))


def test_a_damaged_record_is_reported_as_damaged_not_as_missing(source, target):
    records = filled(source)
    path = source.path(records[1].key) / "record.json"
    path.write_bytes(path.read_bytes()[:-9])
    report = copy_store(source, target)
    assert report.damaged == (records[1].key,)
    assert report.gone == ()


def test_records_of_a_newer_version_are_left_alone_and_named(source, target):
    records = filled(source)
    for path in (source.path(records[1].key) / "record.json", source.folder / "runs" / f"{RUN.id}.json"):
        path.write_text(path.read_text().replace('"format": 2', '"format": 3'))
    report = copy_store(source, target)
    assert (report.newer, report.runs_newer) == ((records[1].key,), (RUN.id,))
    assert not report.complete
    assert set(target.keys()) == {records[0].key, records[2].key}
    assert target.runs.ids() == []


def test_the_newer_run_of_the_target_is_kept(source, target):
    filled(source)
    newer = RUN.to_json().replace('"format": 2', '"format": 3').encode()
    target._objects.put(f"runs/{RUN.id}.json", newer)
    assert copy_store(source, target).runs_newer == (RUN.id,)
    assert target._objects.get(f"runs/{RUN.id}.json").content == newer


def test_runs_that_cannot_be_copied_are_named(source, target):
    filled(source)
    gone = "20250101-000000-000-bbbb"
    batch = replace(RUN, id=f"{RUN.id}-batch", kind="batch", results={"members": [{"run": RUN.id}, {"run": gone}]})
    source.runs.write(batch)
    report = copy_store(source, target, runs=[batch])
    assert (report.runs, report.runs_gone) == ((RUN.id, batch.id), (gone,))
    path = source.folder / "runs" / f"{RUN.id}.json"
    path.write_bytes(path.read_bytes()[:-9])
    report = copy_store(source, target)
    assert report.runs_damaged == (RUN.id,)
    assert not report.complete


@pytest.mark.parametrize("inner", ["tmp/backup", "out/backup", "backup"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_store_within_the_other_is_refused(source, tmp_path, inner, turned, monkeypatch):
    filled(source)
    monkeypatch.setattr("svdaudio.store.local._outer_store", lambda folder: None)
    (tmp_path / "link").symlink_to(tmp_path / "source")
    within = LocalStore(tmp_path / "link" / inner)
    with pytest.raises(InputError, match="is inside the other"):
        copy_store(*((within, source) if turned else (source, within)))
    with pytest.raises(InputError, match="into itself"):
        copy_store(source, LocalStore(tmp_path / "link"))


def test_a_prefix_within_the_other_is_refused(target, s3, tmp_path):
    filled(target)
    with pytest.raises(InputError, match="is inside the other"):
        copy_store(target, open_store(s3.location(f"{tmp_path.name}/target/tmp/backup")))
    beside = open_store(s3.location(f"{tmp_path.name}/target2"))
    assert copy_store(target, beside).complete
