"""The store in a bucket, where it differs from the one in a folder: faults, leases, crashes, credentials."""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime

import numpy as np
import pytest
from s3 import BUCKET, Fault

from svdaudio.errors import CorruptArtifactError, RunError, StoreError
from svdaudio.store import Action, ArraySpec, ArtifactRecord, RunRecord, digest_array, open_store
from svdaudio.store.leases import is_held, lease
from svdaudio.store.objects import Objects, Patience
from svdaudio.store.remote import RemoteStore

QUICK = Patience(timeout_s=0.5, connect_timeout_s=1, n_retries=3, retry_s=10)
ARRAYS = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "none": np.zeros((0, 4)), "scalar": np.array(3)}
RUN = RunRecord(id="20250101-000000-000-aaaa", kind="manipulate", created_at="", files={}, config={})


def make_record(arrays=ARRAYS, **parameters):
    return ArtifactRecord(
        action=Action(stage="toy", version=1, parameters=parameters, inputs={}, models={}),
        outputs={n: ArraySpec(digest=digest_array(a), shape=a.shape, dtype=a.dtype.str) for n, a in arrays.items()},
        sources={}, notes=(), seconds=0.0, code_version="0", host="here", created_at="",
    )  # fmt: skip


@pytest.fixture
def location(s3, tmp_path):
    return s3.location(tmp_path.name)


@pytest.fixture
def store(location):
    return RemoteStore(location, patience=QUICK, lease_s=1)


@pytest.fixture
def raw(location):
    """The objects themselves, to damage them."""
    return Objects(location, QUICK)


def paths(raw, folder):
    return sorted(listed.path for listed in raw.list(folder))


class Stopped(BaseException):
    """The process ends here."""


def stop_at(step):
    def stop(now):
        if now == step:
            raise Stopped

    return stop


class TestFaults:
    @pytest.mark.parametrize("kind", ["500", "503"])
    def test_a_server_out_of_order_for_a_while_is_asked_again(self, s3, store, kind):
        record = make_record()
        s3.faults += [Fault(kind=kind, method="PUT", n=2)]
        store.save(record, ARRAYS)
        s3.faults += [Fault(kind=kind, method="GET", n=2)]
        np.testing.assert_array_equal(store.load(record.key)["x"], ARRAYS["x"])
        assert all(fault.n == 0 for fault in s3.faults)

    def test_one_that_stays_out_of_order_is_an_error_of_one_line(self, s3, store):
        s3.faults.append(Fault(kind="503", n=1000))
        with pytest.raises(StoreError, match=r"^the store s3://\S+ is out of order: got 503 Service Unavailable Slow"):
            store.find("a" * 64)

    def test_silence_is_asked_again(self, s3, store):
        record = store.save(make_record(), ARRAYS)
        s3.silence_s = 1.0
        s3.faults.append(Fault(kind="silent", method="GET"))
        assert store.find(record.key) == record

    def test_a_record_whose_answer_was_lost_is_known_as_ones_own(self, s3, store, raw):
        s3.silence_s = 1.0
        s3.faults.append(Fault(kind="lost", method="PUT", path="/records/"))
        record = store.save(make_record(), ARRAYS)
        assert store.find(record.key) == record
        assert len(paths(raw, "arrays")) == 1 + 2 * len(ARRAYS) - 1  # an array of no size has no chunk
        np.testing.assert_array_equal(store.load(record.key)["x"], ARRAYS["x"])

    def test_arrays_that_cannot_be_written_leave_nothing(self, s3, store, raw):
        s3.faults.append(Fault(kind="500", method="PUT", path="/c/0/0", n=1000))
        with pytest.raises(StoreError, match="out of order"):
            store.save(make_record(), ARRAYS)
        s3.faults.clear()
        assert paths(raw, "records") == paths(raw, "arrays") == []

    def test_the_loser_takes_its_arrays_away(self, location, store, raw):
        rival = RemoteStore(location, patience=QUICK)

        def overtake(step):
            if step == "arrays written":
                rival.save(make_record(), ARRAYS)

        first = RemoteStore(location, patience=QUICK, at_step=overtake).save(make_record(), ARRAYS)
        assert first == store.find(first.key)
        assert len({path.split("/")[3] for path in paths(raw, "arrays")}) == 1
        store.load(first.key)


class TestErrors:
    def test_wrong_credentials(self, s3, location, monkeypatch):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        with pytest.raises(
            StoreError, match=r"refuses these credentials: got 403 Forbidden InvalidAccessKeyId"
        ) as told:
            open_store(location)
        assert "AWS_SECRET_ACCESS_KEY" in str(told.value)

    def test_no_credentials(self, s3, location, monkeypatch):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")  # no machine of Amazon's
        with pytest.raises(StoreError, match=r"needs credentials: got none\. Set AWS_ACCESS_KEY_ID"):
            RemoteStore(location, patience=Patience(timeout_s=1, connect_timeout_s=1, n_retries=0))

    def test_without_the_extra_it_says_what_to_install(self, s3, location, monkeypatch):
        monkeypatch.setitem(sys.modules, "obstore", None)
        with pytest.raises(StoreError, match=r"needs obstore: .* Run `uv sync --extra s3`"):
            open_store(location)

    def test_no_bucket(self, s3):
        with pytest.raises(StoreError, match=r"^there is no bucket 'silence'\. Make it"):
            open_store("s3://silence/prefix")

    def test_no_server(self, s3, location, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        with pytest.raises(
            StoreError, match=r"cannot be reached: got Connection refused at http://127\.0\.0\.1:9\. Che"
        ):
            RemoteStore(location, patience=QUICK)

    def test_no_answer(self, s3, store):
        s3.silence_s = 1.0
        s3.faults.append(Fault(kind="silent", n=1000))
        with pytest.raises(StoreError, match="cannot be reached: got no answer in time at http"):
            store.find("a" * 64)

    @pytest.mark.parametrize("text", ["s3://", "s3:///prefix"])
    def test_no_name_of_a_bucket(self, s3, text):
        with pytest.raises(StoreError, match="has no bucket"):
            open_store(text)

    def test_another_format(self, raw, location):
        raw.put("store.json", b'{"format": 99}')
        with pytest.raises(StoreError, match="of another format: expected 1, got 99"):
            open_store(location)
        raw.put("store.json", b"{")
        with pytest.raises(StoreError, match="is damaged"):
            open_store(location)


class TestCrashes:
    def test_between_arrays_and_record(self, location, store, raw):
        """Nothing of it is ever seen; the next writer is not in its way; the rest is found and cleared."""
        record = make_record()
        dying = RemoteStore(location, patience=QUICK, at_step=stop_at("arrays written"))
        with pytest.raises(Stopped):
            dying.save(record, ARRAYS)
        assert store.find(record.key) is None
        assert not list(store.keys())
        (left,) = store.leftovers()
        assert left.kind == "unfinished"
        assert store.save(record, ARRAYS) == record
        assert [leftover.name for leftover in store.leftovers()] == [left.name]
        assert store.clear(left)
        assert not store.clear(left)
        assert not list(store.leftovers())
        np.testing.assert_array_equal(store.load(record.key)["x"], ARRAYS["x"])

    def test_what_a_living_writer_builds_is_no_leftover(self, location, store):
        record = make_record()
        with store.lock(record.key), pytest.raises(Stopped):
            RemoteStore(location, at_step=stop_at("arrays written")).save(record, ARRAYS)
        # Given back, the lease no longer protects it.
        assert sorted(leftover.kind for leftover in store.leftovers()) == ["lock", "unfinished"]
        with store.lock(record.key):
            assert not list(store.leftovers())

    def test_a_killed_process_frees_its_lock_in_time(self, location, s3):
        """A real process, really killed: its lease runs out, and the lock is to be had."""
        code = textwrap.dedent("""
            import sys, time
            from svdaudio.store.remote import RemoteStore
            with RemoteStore(sys.argv[1], lease_s=1).lock("a" * 64):
                print("held", flush=True)
                time.sleep(60)
        """)
        with subprocess.Popen([sys.executable, "-c", code, location], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "held\n"
            process.kill()
        waited = []
        with RemoteStore(location, lease_s=1).lock("a" * 64, lambda: waited.append(1)):
            pass
        assert waited == [1]


class TestDamage:
    def chunk(self, raw):
        return next(path for path in paths(raw, "arrays") if path.endswith("x/c/0/0"))

    def test_a_flipped_bit(self, store, raw):
        record = store.save(make_record(), ARRAYS)
        path = self.chunk(raw)
        content = bytearray(raw.get(path).content)
        content[len(content) // 2] ^= 1
        raw.put(path, bytes(content))
        with pytest.raises(CorruptArtifactError, match=r"it anew; the damaged one is in s3://\S+/quarantine/"):
            store.load(record.key)
        assert store.find(record.key) is None
        assert any(path.endswith("arrays.zarr/x/c/0/0") for path in paths(raw, "quarantine"))
        assert store.save(record, ARRAYS) == record

    def test_a_missing_chunk(self, store, raw):
        record = store.save(make_record(), ARRAYS)
        raw.delete([self.chunk(raw)])
        with pytest.raises(CorruptArtifactError):
            store.load(record.key)

    @pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"format": 1}'])
    def test_a_damaged_record_counts_as_none(self, store, raw, text, caplog):
        record = store.save(make_record(), ARRAYS)
        raw.put(paths(raw, "records")[0], text)
        with caplog.at_level(logging.WARNING):
            assert store.find(record.key) is None
        assert "is damaged" in caplog.text
        assert store.was_quarantined(record.key)
        assert store.save(record, ARRAYS) == record

    def test_a_record_that_does_not_name_its_arrays(self, store, raw):
        record = store.save(make_record(), ARRAYS)
        raw.put(paths(raw, "records")[0], record.to_json().encode())
        assert store.find(record.key) is None
        assert store.was_quarantined(record.key)


class TestLeases:
    def test_a_lease_is_renewed_as_long_as_it_is_held(self, raw):
        with lease(raw, "leases/a", lambda: None, duration_s=0.6):
            time.sleep(1.5)
            assert is_held(raw, "leases/a")
        assert not is_held(raw, "leases/a")

    def test_a_lost_lease_does_no_harm(self, raw, caplog):
        with caplog.at_level(logging.WARNING), lease(raw, "leases/a", lambda: None, duration_s=0.3):
            raw.put("leases/a", b'{"until": 99999999999, "duration_s": 60, "token": "another"}')
            time.sleep(0.5)
        assert "a lease was lost" in caplog.text
        assert is_held(raw, "leases/a"), "the lease of another was given back"

    def test_a_damaged_lease_is_a_free_one(self, raw):
        raw.put("leases/a", b"?")
        with lease(raw, "leases/a", lambda: pytest.fail("held"), duration_s=5):
            pass

    def test_many_want_one_lease_and_one_has_it(self, raw):
        inside, most = [], []

        def work():
            with lease(raw, "leases/a", lambda: None, duration_s=5):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.05)
                inside.pop()

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == [1] * 6

    def test_a_run_is_held_by_one(self, store, location):
        other = RemoteStore(location, lease_s=1)
        with store.runs.hold(RUN.id):
            assert other.runs.is_active(RUN.id)
            with pytest.raises(RunError, match="still going"), other.runs.hold(RUN.id):
                pass
        assert not other.runs.is_active(RUN.id)


def test_a_store_can_be_sent_to_another_process(s3, store):
    record = store.save(make_record(), ARRAYS)
    s3.requests.clear()
    again = pickle.loads(pickle.dumps(store))
    assert not s3.requests, "what is only unpacked must not wait for a network"
    assert again.location == store.location
    assert again.find(record.key) == record


def test_arrays_are_read_in_parallel_by_name_alone(s3, store):
    record = store.save(make_record(), ARRAYS)
    s3.requests.clear()
    store.load(record.key, ["x"])
    assert sorted(request.rpartition("/")[2] for request in s3.requests if "/arrays/" in request) == [
        "0",
        "zarr.json",
        "zarr.json",
    ]
    assert not [request for request in s3.requests if f"GET /{BUCKET}" == request], "something was listed"


def test_an_artifact_that_was_used_lately_is_not_noted_again(s3, store, monkeypatch):
    record = store.save(make_record(), ARRAYS)
    store.touch(record.key)
    assert not [request for request in s3.requests if "/used/" in request and request.startswith("PUT")]
    monkeypatch.setattr("svdaudio.store.remote.TOUCHED_EVERY_S", -1)
    store.touch(record.key)
    (footprint,) = store.footprints()
    assert footprint.used_at_s == pytest.approx(datetime.now(UTC).timestamp(), abs=300)
    assert [request for request in s3.requests if "/used/" in request and request.startswith("PUT")]


def test_processes_that_save_the_same_at_once_agree(location, s3):
    """Four processes, other bytes each: one wins, and all of them say which."""
    code = textwrap.dedent("""
        import sys
        import numpy as np
        from svdaudio.store import Action, ArraySpec, ArtifactRecord, digest_array
        from svdaudio.store.remote import RemoteStore
        array = np.full((64, 64), int(sys.argv[2]), np.float32)
        record = ArtifactRecord(
            action=Action(stage="toy", version=1, parameters={}, inputs={}, models={}),
            outputs={"x": ArraySpec(digest=digest_array(array), shape=array.shape, dtype=array.dtype.str)},
            sources={}, notes=(), seconds=0.0, code_version="0", host=sys.argv[2], created_at="",
        )
        print(RemoteStore(sys.argv[1]).save(record, {"x": array}).host)
    """)
    command = [sys.executable, "-c", code, location]
    processes = [
        subprocess.Popen([*command, str(i)], stdout=subprocess.PIPE, text=True, env=os.environ) for i in range(4)
    ]
    told = {process.communicate()[0].strip() for process in processes}
    assert len(told) == 1
    store = RemoteStore(location)
    (key,) = store.keys()
    assert set(np.unique(store.load(key)["x"])) == {int(told.pop())}
    assert not list(store.leftovers())
