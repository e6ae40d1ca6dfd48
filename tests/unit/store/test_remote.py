"""The store in a bucket where it differs from that in a folder: faults, leases, crashes, credentials."""

from __future__ import annotations

import functools
import json
import logging
import math
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
from toy_record import toy_record

from svdaudio import doctor
from svdaudio.errors import CorruptArtifactError, NewerRecordError, RunError, StoreError
from svdaudio.store import RunRecord, open_store
from svdaudio.store.gc import Policy, plan_collection
from svdaudio.store.leases import is_held, lease
from svdaudio.store.locks import HeldError, refuse_to_wait
from svdaudio.store.marker import MARKER_TEXT
from svdaudio.store.objects import Objects, Patience
from svdaudio.store.remote import RemoteStore
from svdaudio.store.sealed import seal

QUICK = Patience(timeout_s=0.5, connect_timeout_s=1, n_retries=3, retry_s=10)
ARRAYS = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "none": np.zeros((0, 4)), "scalar": np.array(3)}
make_record = functools.partial(toy_record, ARRAYS)
RUN = RunRecord(id="20250101-000000-000-aaaa", kind="manipulate", created_at="", files={}, config={})


@pytest.fixture
def location(s3, tmp_path):
    return s3.location(tmp_path.name)


@pytest.fixture
def store(location):
    return RemoteStore(location, patience=QUICK, lease_s=1)


@pytest.fixture
def raw(location):
    """The raw objects, for damaging them."""
    return Objects(location, QUICK)


def paths(raw, folder):
    return sorted(listed.path for listed in raw.list(folder))


class Stopped(BaseException):
    """Simulates the end of the process."""


def stop_at(step):
    def stop(now):
        if now == step:
            raise Stopped

    return stop


class TestFaults:
    @pytest.mark.parametrize("kind", ["500", "503"])
    def test_temporary_server_errors_are_retried(self, s3, store, kind):
        record = make_record()
        s3.faults += [Fault(kind=kind, method="PUT", n=2)]
        store.save(record, ARRAYS)
        s3.faults += [Fault(kind=kind, method="GET", n=2)]
        np.testing.assert_array_equal(store.load(record.key)["x"], ARRAYS["x"])
        assert all(fault.n == 0 for fault in s3.faults)

    def test_lasting_server_errors_are_reported_in_one_line(self, s3, store):
        s3.faults.append(Fault(kind="503", n=1000))
        with pytest.raises(
            StoreError, match=r"^the store s3://\S+ reports a server error: got 503 Service Unavailable Slow"
        ):
            store.find("a" * 64)

    def test_timeouts_are_retried(self, s3, store):
        record = store.save(make_record(), ARRAYS)
        s3.silence_s = 1.0
        s3.faults.append(Fault(kind="silent", method="GET"))
        assert store.find(record.key) == record

    def test_a_saved_record_is_recognised_after_its_response_was_lost(self, s3, store, raw):
        s3.silence_s = 1.0
        s3.faults.append(Fault(kind="lost", method="PUT", path="/records/"))
        record = store.save(make_record(), ARRAYS)
        assert store.find(record.key) == record
        assert len(paths(raw, "arrays")) == 1 + 2 * len(ARRAYS) - 1  # an empty array has no chunk
        np.testing.assert_array_equal(store.load(record.key)["x"], ARRAYS["x"])

    def test_arrays_that_cannot_be_written_leave_nothing(self, s3, store, raw):
        s3.faults.append(Fault(kind="500", method="PUT", path="/c/0/0", n=1000))
        with pytest.raises(StoreError, match="reports a server error"):
            store.save(make_record(), ARRAYS)
        s3.faults.clear()
        assert paths(raw, "records") == paths(raw, "arrays") == []

    def test_the_losing_writer_removes_its_arrays(self, location, store, raw):
        rival = RemoteStore(location, patience=QUICK)

        def overtake(step):
            if step == "arrays written":
                rival.save(make_record(), ARRAYS)

        first = RemoteStore(location, patience=QUICK, at_step=overtake).save(make_record(), ARRAYS)
        assert first == store.find(first.key)
        assert len({path.split("/")[3] for path in paths(raw, "arrays")}) == 1
        store.load(first.key)


class TestCutAnswers:
    """A response that breaks off is requested again, whatever the request."""

    def test_while_deleting(self, s3, raw):
        raw.put_all({f"a/{n}": b"x" for n in range(5)})
        s3.faults.append(Fault(kind="cut", method="POST"))
        raw.delete([f"a/{n}" for n in range(4)])
        assert paths(raw, "a") == ["a/4"]
        assert s3.faults[0].n == 0

    def test_while_listing(self, s3, raw, monkeypatch):
        monkeypatch.setattr("svdaudio.store.objects.LISTED_AT_ONCE", 7)
        monkeypatch.setattr(s3, "page_size", 10)
        names = {f"a/{n:02d}" for n in range(25)}  # three pages
        raw.put_all(dict.fromkeys(names, b""))
        for n_before in range(2):
            s3.requests.clear()
            listing = raw.list("a")
            if n_before:
                next(listing)  # the first page is there
            s3.faults.append(Fault(kind="cut", method="GET", path=f"/{BUCKET}"))
            listed = [one.path for one in listing]
            assert len(listed) == len(set(listed)) == len(names) - n_before
            assert s3.faults[-1].n == 0

    def test_while_reading_a_lease_or_a_record(self, s3, store, raw):
        record = store.save(make_record(), ARRAYS)
        s3.faults.append(Fault(kind="cut", method="GET", path="/leases/"))
        with store.lock(record.key):
            s3.faults += [Fault(kind="cut", method="GET", path=path, n=2) for path in ("/leases/", "/records/")]
            assert is_held(raw, f"leases/{record.key}")
            assert store.find(record.key) == record
        np.testing.assert_array_equal(store.load(record.key)["x"], ARRAYS["x"])

    def test_while_writing(self, s3, store, raw):
        s3.faults += [Fault(kind="cut", method="PUT", path=path) for path in ("/arrays/", "/records/", "store.json")]
        record = store.save(make_record(), ARRAYS)
        np.testing.assert_array_equal(store.load(record.key)["x"], ARRAYS["x"])

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_retries_are_limited(self, s3, raw, method):
        raw.put("a/b", b"x" * 99)
        s3.faults.append(Fault(kind="cut", method=method, n=1000))
        with pytest.raises(StoreError, match="cannot be reached: got the response broke off"):
            list(raw.list("a")) if method == "GET" else raw.delete(["a/b"])
        assert 1000 - s3.faults[0].n <= 1 + QUICK.n_retries


class TestConditions:
    """Locks rely on If-None-Match and If-Match. A server without them is detected before it does harm."""

    @pytest.fixture(autouse=True)
    def ignoring(self, s3):
        s3.faults.append(Fault(kind="unconditional", n=10**6))

    @pytest.mark.parametrize("made", [False, True])
    def test_a_store_without_conditional_writes_is_not_written(self, location, raw, made):
        if made:
            raw.put("store.json", MARKER_TEXT.encode())
        store = RemoteStore(location, patience=QUICK)
        assert store.find("a" * 64) is None
        for write in (
            lambda: store.save(make_record(), ARRAYS),
            lambda: store.lock("a" * 64).__enter__(),
            lambda: store.pin("a" * 64),
            lambda: store.runs.write(RUN),
            lambda: store.runs.hold(RUN.id).__enter__(),
            store.prepare,
            store.examine,
        ):
            with pytest.raises(StoreError, match="ignores If-None-Match and If-Match, so it cannot keep locks"):
                write()
        assert paths(raw, "") == ["store.json"]
        assert raw.get("store.json").content == MARKER_TEXT.encode()

    def test_doctor_reports_it(self, location):
        (check,) = doctor._remote_store(location)
        assert check.state == "broken"
        assert "ignores If-None-Match and If-Match" in check.found


def test_unimplemented_conditions_are_refused(s3, location):
    RemoteStore(location, patience=QUICK).prepare()
    s3.faults.append(Fault(kind="501", method="PUT", n=100))
    with pytest.raises(StoreError, match="ignores If-None-Match and If-Match"):
        RemoteStore(location, patience=QUICK).prepare()


def test_a_server_that_does_not_match_its_own_etags_is_refused(s3, location, raw):
    """Ceph's RGW 16 compares the quoted ETag of If-Match with its own without quotes."""
    s3.faults.append(Fault(kind="mistaken", method="PUT", n=10**6))
    store = RemoteStore(location, patience=QUICK)
    for ask in (store.prepare, store.examine, lambda: store.lock("a" * 64).__enter__()):
        with pytest.raises(StoreError, match="rejects If-Match with the ETag that it returned, so it cannot keep"):
            ask()
    assert paths(raw, "") == ["store.json"]


def test_conditional_writes_are_probed_once(s3, location):
    store = RemoteStore(location, patience=QUICK)
    store.prepare()
    s3.requests.clear()
    for n in range(3):
        store.save(make_record(n=n), ARRAYS)
    assert not [request for request in s3.requests if "store.json" in request]
    (check,) = doctor._remote_store(location)
    assert check.state == "ok"


class TestErrors:
    def test_wrong_credentials(self, s3, location, monkeypatch):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        with pytest.raises(
            StoreError, match=r"rejects these credentials: got 403 Forbidden InvalidAccessKeyId"
        ) as caught:
            open_store(location)
        assert "AWS_SECRET_ACCESS_KEY" in str(caught.value)

    def test_no_credentials(self, s3, location, monkeypatch):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")  # not a machine of Amazon
        with pytest.raises(StoreError, match=r"needs credentials: got none\. Set AWS_ACCESS_KEY_ID"):
            RemoteStore(location, patience=Patience(timeout_s=1, connect_timeout_s=1, n_retries=0))

    def test_without_the_extra_the_error_says_what_to_install(self, s3, location, monkeypatch):
        monkeypatch.setitem(sys.modules, "obstore", None)
        with pytest.raises(StoreError, match=r"needs obstore: .* Run `uv sync --extra s3`"):
            open_store(location)

    def test_no_bucket(self, s3):
        with pytest.raises(StoreError, match=r"^the bucket 'silence' does not exist\. Create it"):
            open_store("s3://silence/prefix")

    def test_no_server(self, s3, location, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        with pytest.raises(
            StoreError, match=r"cannot be reached: got Connection refused at http://127\.0\.0\.1:9\. Che"
        ):
            RemoteStore(location, patience=QUICK)

    def test_no_response(self, s3, store):
        s3.silence_s = 1.0
        s3.faults.append(Fault(kind="silent", n=1000))
        with pytest.raises(StoreError, match="cannot be reached: got no answer in time at http"):
            store.find("a" * 64)

    @pytest.mark.parametrize("text", ["s3://", "s3:///prefix"])
    def test_no_bucket_name(self, s3, text):
        with pytest.raises(StoreError, match="has no bucket"):
            open_store(text)

    @pytest.mark.parametrize(
        "text",
        ["s3://buc ket", "s3://buc\nket/x", "s3://b\u00e4", "s3://bucket/a\nb", "s3://bucket/a//b", "s3://bucket/../b", "s3://b?c"],
    )  # fmt: skip
    def test_an_invalid_bucket_or_prefix(self, text):
        with pytest.raises(StoreError, match=r"is not a valid bucket name|is not a valid store prefix") as caught:
            open_store(text)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "endpoint",
        ["localhost:9000", "http://host:99999", "http://host:0", "http://", "ftp://host", "http://a b", "http://h\n",
         "http://[::1", "host", "http://host:port", " http://host"],
    )  # fmt: skip
    @pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
    def test_an_invalid_endpoint(self, s3, location, monkeypatch, endpoint, name):
        monkeypatch.setenv(name, endpoint)
        with pytest.raises(StoreError, match=rf"^{name} is not a valid server address: expected http://host:port"):
            open_store(location)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("AWS_ACCESS_KEY_ID", "tester\n"), ("AWS_SECRET_ACCESS_KEY", "se\ncret"), ("AWS_SESSION_TOKEN", "a\rb"),
         ("AWS_REGION", "us-east-1\n"), ("AWS_ACCESS_KEY_ID", " tester"), ("AWS_ACCESS_KEY_ID", "t\u00e4ster")],
    )  # fmt: skip
    def test_invalid_characters_in_credentials(self, s3, location, monkeypatch, name, value):
        monkeypatch.setenv(name, value)
        with pytest.raises(StoreError, match=f"^{name} is not valid: got {len(value)} characters") as caught:
            open_store(location)
        assert value.strip() not in str(caught.value), "a secret is not shown"

    def test_a_panic_is_reported_in_one_line(self, raw, monkeypatch):
        class PanicException(BaseException):
            pass

        def panic(*arguments):
            raise PanicException("called `Result::unwrap()`\n on an `Err` value")

        monkeypatch.setattr("obstore.get", panic)
        with pytest.raises(StoreError, match=r"^the store s3://\S+ cannot be accessed: got called `Result::unwrap"):
            raw.get("a")

    def test_another_format(self, raw, location):
        raw.put("store.json", b'{"format": 99}')
        with pytest.raises(StoreError, match="has another format: expected 1, got 99"):
            open_store(location)
        raw.put("store.json", b"{")
        with pytest.raises(StoreError, match="is damaged"):
            open_store(location)


class TestCrashes:
    def test_a_crash_between_arrays_and_record(self, location, store, raw):
        """Readers see nothing of it; the next writer is not blocked; leftovers are found and cleared."""
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

    def test_arrays_of_an_active_writer_are_not_leftovers(self, location, store):
        record = make_record()
        with store.lock(record.key), pytest.raises(Stopped):
            RemoteStore(location, at_step=stop_at("arrays written")).save(record, ARRAYS)
        # Once released, the lease no longer protects it.
        assert sorted(leftover.kind for leftover in store.leftovers()) == ["lock", "unfinished"]
        with store.lock(record.key):
            assert not list(store.leftovers())

    def test_the_lock_of_a_killed_process_expires(self, location, s3):
        """A real process is killed: its lease expires, and the lock is free again."""
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
        with pytest.raises(CorruptArtifactError, match=r"recompute it; the damaged one is in s3://\S+/quarantine/"):
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
    def test_a_damaged_record_counts_as_absent(self, store, raw, text, caplog):
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

    def test_bytes_damaged_in_transit_are_read_again(self, s3, store, raw):
        record = store.save(make_record(), ARRAYS)
        store.runs.write(RUN)
        s3.faults += [Fault(kind="flipped", method="GET", path="/x/c/0/0"), Fault(kind="flipped", path="/records/")]
        np.testing.assert_array_equal(store.load(record.key)["x"], ARRAYS["x"])
        s3.faults += [Fault(kind="flipped", method="GET", path="/runs/2025", n=1)]
        assert store.runs.read(RUN.id) == RUN
        s3.faults += [Fault(kind="flipped", method="GET", path="/runs/2025", n=1)]
        assert list(store.runs) == [RUN]
        s3.faults += [Fault(kind="flipped", method="GET", path="store.json")]
        RemoteStore(store.location)
        assert all(fault.n == 0 for fault in s3.faults)
        assert paths(raw, "quarantine") == []

    def test_a_lease_damaged_in_transit_is_not_taken(self, s3, raw):
        with lease(raw, "leases/a", lambda: None, duration_s=20):
            for _ in range(3):
                s3.faults.append(Fault(kind="flipped", method="GET", path="/leases/a"))
                with pytest.raises(HeldError), lease(raw, "leases/a", refuse_to_wait):
                    pass
                assert is_held(raw, "leases/a")

    @pytest.mark.parametrize("attempt", ["../../../records", "", "a/b", 5, None, "..", "0" * 15])
    def test_a_record_with_arrays_outside_its_folder_is_damaged(self, store, raw, attempt):
        """A record must not make quarantine move arrays of other artifacts."""
        record, other = (store.save(make_record(n=n), ARRAYS) for n in (1, 2))
        text = seal({"arrays": attempt, "record": json.loads(record.to_json())}).encode()
        raw.put(f"records/{record.key[:2]}/{record.key}.json", text)
        before = paths(raw, "arrays")
        assert store.find(record.key) is None
        assert store.find(other.key) == other
        assert paths(raw, "arrays") == before
        store.load(other.key)

    def test_foreign_objects_are_not_artifacts(self, store, raw):
        record = store.save(make_record(), ARRAYS)
        for path in ("records/notes", "records/ab/x.json", f"records/zz/{record.key}.json", "arrays/x", "arrays/a/b/c",
                     "pins/x", "used/x", "runs/.x.json", "runs/sub/x.json", "runs/x", "arrays/a/b/c/d/e"):  # fmt: skip
            raw.put(path, b"?")
        assert list(store.keys()) == list(store.last_uses()) == [record.key]
        assert [footprint.key for footprint in store.footprints()] == [record.key]
        assert store.pins() == frozenset()
        assert store.runs.ids() == []
        assert list(store.leftovers()) == []

    def test_a_newer_artifact_is_left_alone(self, store, raw):
        record = store.save(make_record(), ARRAYS)
        path = f"records/{record.key[:2]}/{record.key}.json"
        text = raw.get(path).content.replace(b'"format": 2', b'"format": 3', 1)
        raw.put(path, text)
        raw.put(f"arrays/{record.key[:2]}/{record.key}/{'0' * 16}/zarr.json", b"of some writer")
        before = paths(raw, "arrays")
        for ask in (store.find, store.load, lambda key: store.save(record, ARRAYS)):
            with pytest.raises(NewerRecordError, match="was written by a newer version of svdaudio"):
                ask(record.key)
        assert not store.remove(record.key, unless_used_after_s=math.inf)
        planned = plan_collection(store, Policy(grace_s=0, max_bytes=0), now_s=time.time() + 10)
        assert planned.removals == ()
        assert {leftover.kind for leftover in planned.leftovers} <= {"lock"}
        assert any(record.key in remark for remark in planned.remarks)
        assert raw.get(path).content == text
        assert paths(raw, "arrays") == before
        assert paths(raw, "quarantine") == []


class TestPins:
    def test_a_pin_prevents_removal(self, store, monkeypatch):
        """Pinned after the pins were read and before the record is removed."""
        record = store.save(make_record(), ARRAYS)
        delete = store._objects.delete

        def pin_first(paths):
            paths = list(paths)
            if any(path.startswith("records/") for path in paths):
                store.pin(record.key)
                assert store.find(record.key) is not None
            delete(paths)

        monkeypatch.setattr(store._objects, "delete", pin_first)
        assert not store.remove(record.key, unless_used_after_s=math.inf)
        monkeypatch.undo()
        assert store.find(record.key) == record
        store.load(record.key)


class TestLeases:
    def test_a_lease_is_renewed_as_long_as_it_is_held(self, raw):
        with lease(raw, "leases/a", lambda: None, duration_s=0.6):
            time.sleep(1.5)
            assert is_held(raw, "leases/a")
        assert not is_held(raw, "leases/a")

    def test_a_lost_lease_is_harmless(self, raw, caplog):
        with caplog.at_level(logging.WARNING), lease(raw, "leases/a", lambda: None, duration_s=0.3):
            raw.put("leases/a", b'{"until": 99999999999, "duration_s": 60, "token": "another"}')
            time.sleep(0.5)
        assert "a lease was lost" in caplog.text
        assert is_held(raw, "leases/a"), "the lease of another process was released"

    def test_a_damaged_lease_is_free(self, raw):
        raw.put("leases/a", b"?")
        with lease(raw, "leases/a", lambda: pytest.fail("held"), duration_s=5):
            pass

    @pytest.mark.parametrize(
        "fields",
        [
            '"until": Infinity, "duration_s": 30',
            '"until": 1e999, "duration_s": 1e999',
            '"until": 99999999999, "duration_s": Infinity',
            '"until": NaN, "duration_s": 30',
            '"until": 99999999999, "duration_s": 1e12',
            '"until": 99999999999, "duration_s": -1',
            '"until": "9", "duration_s": 30',
            '"until": [], "duration_s": true',
            '"until": 99999999999',
        ],
    )
    def test_a_lease_without_end_is_free(self, raw, fields):
        raw.put("leases/a", f'{{{fields}, "token": "x"}}'.encode())
        assert not is_held(raw, "leases/a")
        with lease(raw, "leases/a", lambda: pytest.fail("held"), duration_s=5):
            pass

    @pytest.mark.parametrize("skew_s", [-3600, 3600])
    def test_the_clock_of_the_holder_does_not_matter(self, raw, skew_s, monkeypatch):
        clock = time.time
        monkeypatch.setattr("svdaudio.store.leases.time.time", lambda: clock() + skew_s)
        with lease(raw, "leases/a", lambda: None, duration_s=20):
            monkeypatch.undo()
            assert is_held(raw, "leases/a")
            with pytest.raises(HeldError), lease(raw, "leases/a", refuse_to_wait):
                pass

    @pytest.mark.parametrize("skew_s", [-3600, 3600])
    def test_the_clock_of_an_observer_does_not_matter(self, location, raw, skew_s, monkeypatch):
        with lease(raw, "leases/a", lambda: None, duration_s=20):
            clock = time.time
            monkeypatch.setattr("time.time", lambda: clock() + skew_s)
            watcher = Objects(location, QUICK)
            assert is_held(watcher, "leases/a")
            with pytest.raises(HeldError), lease(watcher, "leases/a", refuse_to_wait):
                pass
            monkeypatch.undo()
        assert paths(raw, "clocks") == []

    def test_readers_without_write_access_use_their_own_clock(self, s3, raw, location):
        with lease(raw, "leases/a", lambda: None, duration_s=20):
            s3.faults.append(Fault(kind="503", method="PUT", path="/clocks/", n=100))
            watcher = Objects(location, Patience(n_retries=0))
            assert is_held(watcher, "leases/a")
            assert watcher.now_s() == pytest.approx(time.time(), abs=0.1)

    def test_only_one_of_many_holds_a_lease(self, raw):
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

    def test_a_run_has_one_holder(self, store, location):
        other = RemoteStore(location, lease_s=1)
        with store.runs.hold(RUN.id):
            assert other.runs.is_active(RUN.id)
            with pytest.raises(RunError, match="still active"), other.runs.hold(RUN.id):
                pass
        assert not other.runs.is_active(RUN.id)


def test_a_store_can_be_sent_to_another_process(s3, store):
    record = store.save(make_record(), ARRAYS)
    s3.requests.clear()
    again = pickle.loads(pickle.dumps(store))
    assert not s3.requests, "unpickling must not wait for the network"
    assert again.location == store.location
    assert again.find(record.key) == record


def test_arrays_are_read_in_parallel_without_listing(s3, store):
    record = store.save(make_record(), ARRAYS)
    s3.requests.clear()
    store.load(record.key, ["x"])
    assert sorted(request.rpartition("/")[2] for request in s3.requests if "/arrays/" in request) == [
        "0",
        "zarr.json",
        "zarr.json",
    ]
    assert not [request for request in s3.requests if f"GET /{BUCKET}" == request], "something was listed"


def test_recent_use_of_an_artifact_is_not_recorded_again(s3, store, monkeypatch):
    record = store.save(make_record(), ARRAYS)
    store.touch(record.key)
    assert not [request for request in s3.requests if "/used/" in request and request.startswith("PUT")]
    monkeypatch.setattr("svdaudio.store.remote.TOUCHED_EVERY_S", -1)
    store.touch(record.key)
    (footprint,) = store.footprints()
    assert footprint.used_at_s == pytest.approx(datetime.now(UTC).timestamp(), abs=300)
    assert [request for request in s3.requests if "/used/" in request and request.startswith("PUT")]


def test_concurrent_saves_of_one_key_agree(location, s3):
    """Four processes with different bytes: one wins, and all of them return it."""
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
    results = {process.communicate()[0].strip() for process in processes}
    assert len(results) == 1
    store = RemoteStore(location)
    (key,) = store.keys()
    assert set(np.unique(store.load(key)["x"])) == {int(results.pop())}
    assert not list(store.leftovers())
