"""The contract of every backend of the store. A new backend is one more entry in BACKENDS."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from svdaudio.errors import CorruptArtifactError, MissingArtifactError, StoreError
from svdaudio.store import Action, ArraySpec, ArtifactRecord, LocalStore, RunRecord, digest_array
from svdaudio.store.gc import DAY_S, Policy, carry_out, plan_collection
from svdaudio.store.reading import read_records
from svdaudio.store.remote import RemoteStore

BACKENDS = ("local", "remote")

FOR_EVER = math.inf

ARRAYS = {
    "tokens": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
    "none": np.zeros((0, 768), np.float32),
    "scalar": np.array(3.5),
    "mask": np.array([[True, False], [False, False]]),
    "zeros": np.zeros((4, 4), np.uint8),
    "transposed": np.arange(6, dtype=np.int64).reshape(2, 3).T,
    "nan": np.array([np.nan, -0.0], np.float16),
}


def make_record(arrays, *, stage="toy", notes=(), **parameters):
    return ArtifactRecord(
        action=Action(stage=stage, version=1, parameters=parameters, inputs={"x": "0" * 64}, models={}),
        outputs={n: ArraySpec(digest=digest_array(a), shape=a.shape, dtype=a.dtype.str) for n, a in arrays.items()},
        sources={"x": "above.x"},
        notes=tuple(notes),
        seconds=0.5,
        code_version="0",
        host="here",
        created_at="2025-01-01T00:00:00+00:00",
    )


@pytest.fixture(params=BACKENDS)
def reopen(request, tmp_path):
    """Opens the one store of the test, as another process would."""
    if request.param == "local":
        return lambda: LocalStore(tmp_path / "store")
    s3 = request.getfixturevalue("s3")
    return lambda: RemoteStore(s3.location(tmp_path.name))


@pytest.fixture
def store(reopen):
    return reopen()


class TestArtifacts:
    def test_saved_artifacts_are_found_and_loaded(self, store):
        record = make_record(ARRAYS, k=5, notes=["a remark"])
        assert store.find(record.key) is None
        assert store.save(record, ARRAYS) == record
        assert store.find(record.key) == record
        loaded = store.load(record.key)
        assert loaded.keys() == ARRAYS.keys()
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(loaded[name], array)
            assert loaded[name].dtype == array.dtype
            assert loaded[name].shape == array.shape
        assert list(store.keys()) == [record.key]

    def test_selected_arrays_can_be_loaded(self, store):
        record = store.save(make_record(ARRAYS), ARRAYS)
        assert list(store.load(record.key, ["mask"])) == ["mask"]

    def test_loading_a_missing_artifact_fails(self, store):
        with pytest.raises(StoreError, match="does not exist"):
            store.load("0" * 64)

    def test_the_first_writer_wins(self, store):
        first = store.save(make_record(ARRAYS, notes=["first"]), ARRAYS)
        other = {**ARRAYS, "scalar": np.array(4.0)}
        assert store.save(make_record(other, notes=["second"]), other) == first
        assert store.load(first.key)["scalar"] == 3.5

    def test_a_second_handle_sees_saved_artifacts(self, store, reopen):
        record = store.save(make_record(ARRAYS), ARRAYS)
        assert reopen().find(record.key) == record

    def test_quarantined_artifacts_are_not_found(self, store):
        record = store.save(make_record(ARRAYS), ARRAYS)
        assert not store.was_quarantined(record.key)
        assert store.quarantine(record.key, "on purpose")
        assert store.was_quarantined(record.key)
        assert store.find(record.key) is None
        assert not list(store.keys())
        assert store.quarantine(record.key, "again") is None
        assert store.save(record, ARRAYS) == record

    def test_a_corrupt_array_is_detected_on_reading(self, store):
        record = make_record({"x": np.zeros(3)})
        store.save(record, {"x": np.ones(3)})
        with pytest.raises(CorruptArtifactError, match="'x' does not match the record"):
            store.load(record.key)
        assert store.was_quarantined(record.key)
        assert store.find(record.key) is None

    def test_loading_a_removed_artifact_fails(self, store):
        record = store.save(make_record(ARRAYS), ARRAYS)
        assert store.remove(record.key, unless_used_after_s=FOR_EVER)
        with pytest.raises(MissingArtifactError):
            store.load(record.key)

    def test_a_missing_array_is_detected_on_reading(self, store):
        record = make_record({"x": np.zeros(3), "y": np.zeros(3)})
        store.save(record, {"x": np.zeros(3)})
        with pytest.raises(CorruptArtifactError, match="is damaged"):
            store.load(record.key)

    @pytest.mark.parametrize("key", ["", "..", "../x", "/etc", "a" * 63, "A" * 64, "a" * 63 + "/", "a\nb"])
    def test_invalid_keys_are_refused(self, store, key):
        for ask in (store.find, store.load, store.pin, store.unpin, store.is_newer):
            with pytest.raises(StoreError, match="is not a valid artifact key"):
                ask(key)

    def test_records_are_read_in_order_however_many_at_a_time(self, store):
        records = [store.save(make_record(ARRAYS, k=k), ARRAYS) for k in range(5)]
        wanted = [records[3].key, "0" * 64, *(record.key for record in records)]
        found = list(read_records(store, iter(wanted)))
        assert [one.key for one in found] == wanted
        assert [one.record for one in found] == [records[3], None, *records]
        assert not any(one.is_newer for one in found)

    def test_preparing_and_examining(self, store, reopen):
        store.examine()
        assert not list(reopen().keys())
        for _ in range(2):
            store.prepare()
            store.examine()
        assert not list(store.leftovers())


class TestLocks:
    def test_one_holder_at_a_time(self, store):
        inside, most, waits = [], [], []

        def work():
            with store.lock("a" * 64, lambda: waits.append(1)):
                inside.append(1)
                most.append(len(inside))
                seen.set()
                released.wait(5)
                inside.pop()

        seen, released = threading.Event(), threading.Event()
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert seen.wait(5)
        released.set()
        for thread in threads:
            thread.join()
        assert most == [1, 1, 1]

    def test_waiting_is_reported_and_other_keys_are_free(self, store):
        held, is_waiting, done = threading.Event(), threading.Event(), []

        def hold():
            with store.lock("a" * 64):
                held.set()
                assert is_waiting.wait(5)

        thread = threading.Thread(target=hold)
        thread.start()
        assert held.wait(5)
        with store.lock("b" * 64, is_waiting.set):
            assert not is_waiting.is_set()
        with store.lock("a" * 64, is_waiting.set):
            done.append(is_waiting.is_set())
        thread.join()
        assert done == [True]

    def test_an_error_releases_the_lock(self, store):
        with pytest.raises(ZeroDivisionError), store.lock("a" * 64):
            raise ZeroDivisionError
        with store.lock("a" * 64, lambda: pytest.fail("still held")):
            pass


class TestCollecting:
    def test_footprints(self, store):
        assert not list(store.footprints())
        record = store.save(make_record(ARRAYS), ARRAYS)
        (footprint,) = store.footprints()
        assert footprint.key == record.key
        assert footprint.n_bytes > len(record.to_json())
        assert abs(footprint.used_at_s - time.time()) < 300

    def test_touching_does_no_harm(self, store):
        record = store.save(make_record(ARRAYS), ARRAYS)
        (before,) = store.footprints()
        store.touch(record.key)
        (after,) = store.footprints()
        assert after.used_at_s >= before.used_at_s
        assert after.n_bytes == before.n_bytes
        assert store.find(record.key) == record
        store.touch("0" * 64)
        assert [footprint.key for footprint in store.footprints()] == [record.key]

    def test_removed_artifacts_are_gone_and_can_be_saved_again(self, store):
        one, other = (store.save(make_record(ARRAYS, k=k), ARRAYS) for k in (1, 2))
        assert store.remove(one.key, unless_used_after_s=FOR_EVER)
        assert store.find(one.key) is None
        assert list(store.keys()) == [other.key]
        assert not store.was_quarantined(one.key)
        assert not store.remove(one.key, unless_used_after_s=FOR_EVER)
        assert store.save(one, ARRAYS) == one

    def test_artifacts_used_since_the_plan_are_kept(self, store):
        record = store.save(make_record(ARRAYS), ARRAYS)
        (footprint,) = store.footprints()
        assert not store.remove(record.key, unless_used_after_s=footprint.used_at_s - 1)
        assert store.find(record.key) == record
        assert store.remove(record.key, unless_used_after_s=footprint.used_at_s + 1)

    def test_artifacts_being_computed_are_kept(self, store):
        record = store.save(make_record(ARRAYS), ARRAYS)
        with store.lock(record.key):
            assert not store.remove(record.key, unless_used_after_s=FOR_EVER)
        assert store.find(record.key) == record
        assert store.remove(record.key, unless_used_after_s=FOR_EVER)

    def test_pins(self, store):
        assert store.pins() == frozenset()
        assert not store.unpin("a" * 64)
        for key in ("a" * 64, "b" * 64, "a" * 64):
            store.pin(key)
        assert store.pins() == {"a" * 64, "b" * 64}
        assert store.unpin("a" * 64)
        assert store.pins() == {"b" * 64}

    def test_pinned_artifacts_are_not_removed(self, store):
        record = store.save(make_record(ARRAYS), ARRAYS)
        store.pin(record.key)
        assert not store.remove(record.key, unless_used_after_s=FOR_EVER)
        assert store.find(record.key) == record
        store.unpin(record.key)
        assert store.remove(record.key, unless_used_after_s=FOR_EVER)

    def test_footprints_of_selected_keys(self, store):
        records = [store.save(make_record(ARRAYS, k=k), ARRAYS) for k in range(3)]
        assert store.last_uses().keys() == {record.key for record in records}
        every = {footprint.key: footprint for footprint in store.footprints()}
        wanted = [records[2].key, records[0].key, "0" * 64]
        assert {one.key: one for one in store.footprints(wanted)} == {key: every[key] for key in wanted[:2]}
        assert {key: one.used_at_s for key, one in every.items()} == store.last_uses()

    def test_finished_work_leaves_no_leftovers(self, store):
        record = make_record(ARRAYS)
        with store.lock(record.key):
            store.save(record, ARRAYS)
            assert not list(store.leftovers())
        with store.runs.hold(TestRuns.RUN.id):
            store.runs.write(TestRuns.RUN)
            assert not list(store.leftovers())
        assert not list(store.leftovers())

    def test_quarantine_is_cleared(self, store):
        record = store.save(make_record(ARRAYS), ARRAYS)
        store.quarantine(record.key, "on purpose")
        (leftover,) = store.leftovers()
        assert leftover.kind == "quarantined"
        assert leftover.n_bytes > len(record.to_json())
        assert store.clear(leftover)
        assert not list(store.leftovers())
        assert not store.clear(leftover)
        assert not store.was_quarantined(record.key)

    def test_gc_removes_artifacts_that_are_neither_pinned_nor_young(self, store):
        one, other = (store.save(make_record(ARRAYS, k=k), ARRAYS) for k in (1, 2))
        store.pin(other.key)
        store.quarantine(store.save(make_record(ARRAYS, k=3), ARRAYS).key, "on purpose")
        young = plan_collection(store, Policy(), now_s=time.time())
        assert (young.removals, young.leftovers, young.n_kept) == ((), (), 2)
        planned = plan_collection(store, Policy(), now_s=time.time() + 2 * DAY_S)
        done = carry_out(store, planned)
        assert done == planned
        assert [removal.footprint.key for removal in done.removals] == [one.key]
        assert [leftover.kind for leftover in done.leftovers] == ["quarantined"]
        assert list(store.keys()) == [other.key]
        assert not list(store.leftovers())


class TestRuns:
    RUN = RunRecord(
        id="20250101-000000-000-aaaa", kind="manipulate", created_at="2025-01-01", files={}, config={"svd": {"k": 5}}
    )

    def test_runs_are_kept_newest_first(self, store):
        assert store.runs.ids() == []
        later = replace(self.RUN, id="20250102-000000-000-bbbb")
        for run in (later, self.RUN):
            store.runs.write(run)
        assert list(store.runs) == [later, self.RUN]
        assert store.runs.load("latest") == later
        assert store.runs.load("20250101") == self.RUN

    def test_a_run_can_be_forgotten_unless_it_is_running(self, store):
        store.runs.write(self.RUN)
        with store.runs.hold(self.RUN.id):
            assert not store.runs.remove(self.RUN.id)
        assert store.runs.remove(self.RUN.id)
        assert store.runs.ids() == []
        assert not store.runs.remove(self.RUN.id)

    def test_writing_again_replaces(self, store):
        store.runs.write(self.RUN)
        changed = replace(self.RUN, state="finished", results={"audio": {"original": "a.wav"}})
        store.runs.write(changed, durable=False)
        assert list(store.runs) == [changed]
