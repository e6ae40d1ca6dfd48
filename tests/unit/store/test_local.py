"""The local store under damage, kills and concurrent access."""

from __future__ import annotations

import errno
import fcntl
import functools
import math
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from toy_record import toy_record

from svdaudio.errors import CorruptArtifactError, NewerRecordError, StoreError
from svdaudio.store import LocalStore, RunRecord, open_store
from svdaudio.store.copy import copy_store
from svdaudio.store.gc import Policy, carry_out, plan_collection

ARRAYS = {"x": np.linspace(0, 1, 1000), "zeros": np.zeros(500)}
make_record = functools.partial(toy_record, ARRAYS)
STEPS = ("begin", "arrays written", "record written", "flushed", "renamed", "done")


def chunks(store, key):
    return sorted(p for p in (store.path(key) / "arrays.zarr").rglob("c/*") if p.is_file())


def is_whole(store, key):
    """Whether an artifact exists; if it does, it must be complete."""
    if store.find(key) is None:
        return False
    np.testing.assert_array_equal(store.load(key)["x"], ARRAYS["x"])
    return True


SCRIPT = """
import os, signal, sys
import numpy as np
import zarr  # once, before any fork
from pathlib import Path
from svdaudio.store import *

arrays = {"x": np.linspace(0, 1, 1000), "zeros": np.zeros(500)}

def make_record(**parameters):
    return ArtifactRecord(
        action=Action(stage="toy", version=1, parameters=parameters, inputs={}, models={}),
        outputs={n: ArraySpec(digest=digest_array(a), shape=a.shape, dtype=a.dtype.str) for n, a in arrays.items()},
        sources={}, notes=(), seconds=0.0, code_version="0", host="", created_at="",
    )

def in_children(work, arguments):
    children = []
    for argument in arguments:
        child = os.fork()
        if child == 0:
            try:
                work(argument)
            finally:
                os._exit(0)
        children.append(child)
    return [os.waitpid(child, 0)[1] for child in children]
"""


def script(text, *arguments):
    command = [sys.executable, "-c", SCRIPT + textwrap.dedent(text), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_an_artifact_is_complete_or_absent_after_a_kill_at_any_step(tmp_path):
    script(
        """
        def die(step):
            def at_step(now):
                if now == step:
                    os.kill(os.getpid(), signal.SIGKILL)
            store = LocalStore(Path(sys.argv[1]) / step, at_step=at_step)
            with store.lock(make_record().key):
                store.save(make_record(), arrays)
        statuses = in_children(die, sys.argv[2:])
        assert statuses == [signal.SIGKILL] * len(statuses), statuses
        """,
        tmp_path,
        *STEPS,
    )
    key = make_record().key
    there = {step: is_whole(LocalStore(tmp_path / step), key) for step in STEPS}
    assert there == dict.fromkeys(STEPS[:4], False) | dict.fromkeys(STEPS[4:], True)
    for step in STEPS:
        store = LocalStore(tmp_path / step)
        with store.lock(key, lambda: pytest.fail("a dead process holds the lock")):
            store.save(make_record(), ARRAYS)
        assert is_whole(store, key)


def test_concurrent_processes_compute_each_key_once(tmp_path):
    script(
        """
        def work(seed):
            store = LocalStore(Path(sys.argv[1]))
            for k in np.random.default_rng(seed).permutation(4).tolist():
                record = make_record(k=k)
                with store.lock(record.key):
                    if store.find(record.key) is None:
                        with open(Path(sys.argv[1]) / "log", "a") as log:
                            log.write(f"{k}\\n")
                        store.save(record, arrays)
                assert len(store.load(record.key)) == 2
        assert in_children(work, range(4)) == [0] * 4
        """,
        tmp_path,
    )
    assert sorted((tmp_path / "log").read_text().split()) == ["0", "1", "2", "3"]
    assert not list((tmp_path / "tmp").glob("*"))
    assert not list((tmp_path / "locks").iterdir())


def test_every_flipped_bit_and_lost_chunk_is_detected(tmp_path):
    store = LocalStore(tmp_path, durable=False)
    key = make_record().key
    rng = np.random.default_rng(0)
    for how in ("flip", "flip", "truncate", "empty", "remove"):
        for which in range(len(ARRAYS)):
            store.save(make_record(), ARRAYS)
            chunk = chunks(store, key)[which]
            data = bytearray(chunk.read_bytes())
            if how == "flip":
                data[rng.integers(len(data))] ^= 1 << rng.integers(8)
                chunk.write_bytes(bytes(data))
            elif how == "truncate":
                chunk.write_bytes(bytes(data[:-3]))
            elif how == "empty":
                chunk.write_bytes(b"")
            else:
                chunk.unlink()
            if how == "remove" and chunk.parent.parent.name == "zeros":
                # zarr reads a missing chunk as zeros, which is what it held: the result is right
                assert not store.load(key)["zeros"].any()
                store.quarantine(key, "on purpose")
                continue
            with pytest.raises(CorruptArtifactError) as caught:
                store.load(key)
            assert str(store.folder / "quarantine") in caught.value.line()
            assert store.find(key) is None


def test_damaged_metadata_are_detected(tmp_path):
    store = LocalStore(tmp_path, durable=False)
    key = make_record().key
    for name in ("zarr.json", "x/zarr.json"):
        for damage in (b"", b"{", b"[]"):
            store.save(make_record(), ARRAYS)
            (store.path(key) / "arrays.zarr" / name).write_bytes(damage)
            with pytest.raises(CorruptArtifactError):
                store.load(key)


def test_a_damaged_record_counts_as_absent(tmp_path, caplog):
    store = LocalStore(tmp_path)
    record = store.save(make_record(), ARRAYS)
    path = store.path(record.key) / "record.json"
    path.write_bytes(path.read_bytes()[:-20])
    assert store.find(record.key) is None
    assert "is damaged" in caplog.text
    assert store.was_quarantined(record.key)
    assert is_whole(store, store.save(record, ARRAYS).key)


def test_the_record_of_another_key_counts_as_absent(tmp_path):
    store = LocalStore(tmp_path)
    one, other = (store.save(make_record(k=k), ARRAYS) for k in (1, 2))
    (store.path(one.key) / "record.json").write_text(other.to_json())
    assert store.find(one.key) is None
    assert store.find(other.key) == other


def test_a_folder_without_a_record_is_not_an_artifact_and_does_not_prevent_saving(tmp_path):
    store = LocalStore(tmp_path)
    record = make_record()
    store.path(record.key).mkdir(parents=True)
    (store.path(record.key) / "rest").write_text("of something")
    assert store.find(record.key) is None
    assert not list(store.keys())
    store.save(record, ARRAYS)
    assert is_whole(store, record.key)


def test_a_newer_artifact_is_not_quarantined_for_an_older_one(tmp_path):
    store = LocalStore(tmp_path)
    record = store.save(make_record(), ARRAYS)
    assert store.quarantine(record.key, "seen damaged a while ago", b"what was there then") is None
    assert is_whole(store, record.key)


@pytest.mark.parametrize("step", STEPS[:4])
def test_a_full_disk_leaves_nothing(tmp_path, step):
    def fail(now):
        if now == step:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = LocalStore(tmp_path, at_step=fail)
    with pytest.raises(StoreError, match=r"No space left on device\. Free some space"):
        store.save(make_record(), ARRAYS)
    assert not list(store.keys())
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes wherever it likes")
def test_a_read_only_store_is_reported(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="cannot be written"):
        LocalStore(tmp_path).save(make_record(), ARRAYS)


def test_invalid_store_folders_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="not a folder"):
        open_store(tmp_path / "file")
    with pytest.raises(StoreError):
        open_store(tmp_path / "file" / "below").save(make_record(), ARRAYS)
    with pytest.raises(StoreError, match="has an unknown scheme"):
        open_store("gopher://host/store")
    (tmp_path / "store.json").write_text('{"format": 99}')
    with pytest.raises(StoreError, match="has another format"):
        open_store(tmp_path)
    (tmp_path / "store.json").write_text("[]")
    with pytest.raises(StoreError, match="is damaged"):
        open_store(tmp_path)


def test_reading_a_missing_store_does_not_create_it(tmp_path):
    store = open_store(tmp_path / "store")
    assert store.find("0" * 64) is None
    assert not store.was_quarantined("0" * 64)
    assert list(store.keys()) == []
    assert store.runs.ids() == []
    assert not (tmp_path / "store").exists()


def test_a_folder_with_other_files_is_not_a_store(tmp_path):
    (tmp_path / "home" / "tmp").mkdir(parents=True)
    (tmp_path / "home" / "tmp" / "notes.txt").write_text("precious")
    with pytest.raises(StoreError, match=r"home is not a store.*got tmp/notes\.txt"):
        LocalStore(tmp_path / "home")
    (tmp_path / "home" / "letter.txt").touch()
    with pytest.raises(StoreError, match=r"got letter\.txt"):
        open_store(tmp_path / "home")
    with pytest.raises(StoreError, match="no store given"):
        open_store("")


def test_an_uninitialised_store_has_no_leftovers(tmp_path):
    (tmp_path / "tmp").mkdir()
    (tmp_path / "quarantine").mkdir()
    (tmp_path / "quarantine" / "mine").touch()
    assert list(LocalStore(tmp_path).leftovers()) == []


def test_keys_cannot_escape_the_store(tmp_path):
    store = LocalStore(tmp_path / "store")
    store.save(make_record(), ARRAYS)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "record.json").write_text("mine")
    for key in (str(tmp_path / "precious"), "../precious", "../../../precious", "a" * 63, "A" * 64, "", "x\0"):
        for ask in (
            store.find, store.load, store.path, store.pin, store.unpin, store.is_newer,
            lambda key: store.quarantine(key, "on purpose"),
            lambda key: store.remove(key, unless_used_after_s=time.time()),
            lambda key: store.lock(key).__enter__(),
        ):  # fmt: skip
            with pytest.raises(StoreError, match="is not a valid artifact key"):
                ask(key)
    assert (tmp_path / "precious" / "record.json").read_text() == "mine"


def test_folders_not_named_by_a_key_are_not_artifacts(tmp_path):
    store = LocalStore(tmp_path)
    key = store.save(make_record(), ARRAYS).key
    for name in ("ab/notes", f"zz/{key}", f"{key[:2]}/{key[:-1]}", "README"):
        (tmp_path / "objects" / name).mkdir(parents=True)
        (tmp_path / "objects" / name / "record.json").write_text("{}")
    (tmp_path / "pins").mkdir()
    (tmp_path / "pins" / ".DS_Store").touch()
    assert list(store.keys()) == [key]
    assert [footprint.key for footprint in store.footprints()] == [key]
    assert store.pins() == frozenset()
    assert not list(store.leftovers())


@pytest.fixture
def closed(monkeypatch):
    """Folders that cannot be read, not even by root."""
    folders = set()
    real = os.scandir

    def scandir(path="."):
        if os.fspath(path) in {os.fspath(folder) for folder in folders}:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return folders


@pytest.mark.parametrize("what", ["objects", "objects/xx", "objects/xx/key", "objects/xx/key/arrays.zarr"])
def test_unreadable_folders_are_errors_and_not_empty(tmp_path, closed, what):
    store = LocalStore(tmp_path)
    key = store.save(make_record(), ARRAYS).key
    closed.add(tmp_path / what.replace("xx", key[:2]).replace("key", key))
    n_readable = 0
    for ask in (
        lambda: list(store.keys()),
        store.last_uses,
        lambda: list(store.footprints()),
        lambda: list(store.leftovers()),
        lambda: plan_collection(store, Policy(), now_s=time.time()),
        lambda: copy_store(store, LocalStore(tmp_path.with_name("copy"))),
    ):
        try:
            ask()
            n_readable += 1
        except StoreError as error:
            assert re.search(r"cannot be read: got Permission denied: .*objects", str(error))  # noqa: PT017
    # Whether an artifact exists, and its bytes, can be read even if its folder cannot be listed.
    assert n_readable == {0: 0, 1: 0, 2: 4, 3: 4}[what.count("/")]


@pytest.mark.parametrize("what", ["tmp", "runs", "locks", "quarantine", "out/some", "pins"])
def test_unreadable_leftovers_and_runs_are_errors(tmp_path, closed, what):
    store = LocalStore(tmp_path)
    store.save(make_record(), ARRAYS)
    for name in ("runs", "quarantine", "out/some", "pins"):
        (tmp_path / name).mkdir(parents=True)
    closed.add(tmp_path / what)
    with pytest.raises(StoreError, match="cannot be read: got Permission denied"):
        plan_collection(store, Policy(), now_s=time.time())


def test_a_lack_of_file_descriptors_is_not_damage(tmp_path, monkeypatch):
    store = LocalStore(tmp_path)
    record = store.save(make_record(), ARRAYS)

    def none_left(*arguments):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("svdaudio.store.arrays.read_arrays", none_left)
    with pytest.raises(StoreError, match="Too many open files"):
        store.load(record.key)
    monkeypatch.undo()
    assert is_whole(store, record.key)


def test_a_pin_at_any_moment_prevents_removal(tmp_path):
    """Pinned during its removal: either the pin came first and the artifact is kept, or pinning finds it missing."""
    record = make_record()
    for n in range(40):
        store = LocalStore(tmp_path / str(n), durable=False)
        store.save(record, ARRAYS)
        barrier, seen = threading.Barrier(2), []

        def remove(store=store, barrier=barrier):
            barrier.wait()
            store.remove(record.key, unless_used_after_s=math.inf)

        thread = threading.Thread(target=remove)
        thread.start()
        barrier.wait()
        time.sleep(n * 2e-5)
        store.pin(record.key)
        seen.append(store.find(record.key) is not None)
        thread.join()
        seen.append(store.find(record.key) is not None)
        assert seen[0] == seen[1]


def test_a_newer_artifact_is_left_alone(tmp_path):
    store = LocalStore(tmp_path)
    record = store.save(make_record(), ARRAYS)
    path = store.path(record.key) / "record.json"
    text = path.read_text().replace('"format": 2', '"format": 3')
    path.write_text(text)
    assert store.is_newer(record.key)
    for ask in (store.find, store.load, lambda key: store.save(record, ARRAYS)):
        with pytest.raises(NewerRecordError, match=rf"artifact {record.key[:12]} .*record format 3, not 2\. Update"):
            ask(record.key)
    assert not store.was_quarantined(record.key)
    assert not store.remove(record.key, unless_used_after_s=math.inf)
    planned = plan_collection(store, Policy(grace_s=0, max_bytes=0), now_s=time.time() + 10)
    assert planned.removals == ()
    assert any(record.key in remark and "newer version" in remark for remark in planned.remarks)
    assert path.read_text() == text


@pytest.mark.parametrize("folder", ["tmp", "objects", "quarantine", "objects/ab"])
def test_a_store_on_two_file_systems_is_refused_before_anything_is_done(tmp_path, folder):
    """Where /dev/shm exists, it is a separate file system."""
    elsewhere = Path("/dev/shm")
    if not os.access(elsewhere, os.W_OK) or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    store = LocalStore(tmp_path / "store")
    record = store.save(make_record(), ARRAYS)
    with tempfile.TemporaryDirectory(dir=elsewhere) as other:
        place = tmp_path / "store" / folder
        if place.exists():
            place.rename(tmp_path / "before")
            shutil.copytree(tmp_path / "before", other, dirs_exist_ok=True)
        place.symlink_to(other)
        store = LocalStore(tmp_path / "store")
        store.runs.write(RunRecord(id="a", kind="run", created_at="2000-01-01", files={}, config={}))
        for ask in (
            lambda: store.save(make_record(k=1), ARRAYS),
            lambda: store.lock(record.key).__enter__(),
            store.prepare,
            store.examine,
            lambda: carry_out(store, plan_collection(store, Policy(keep_days=1, grace_s=0), now_s=time.time() + 1)),
        ):
            with pytest.raises(StoreError, match=r"cross-device.*Put the whole store on one file system"):
                ask()
        assert store.runs.ids() == ["a"], "nothing was forgotten"
        assert is_whole(store, record.key)


RUN = RunRecord(id="20250131-235959-999-0a1b", kind="run", created_at="2025-01-31", files={}, config={})


def failing(code):
    """A system call that fails with this error."""

    def fail(*given):
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_reported_in_one_line(tmp_path, monkeypatch, code):
    store = LocalStore(tmp_path / "store")
    record = store.save(make_record(), ARRAYS)
    (tmp_path / "store" / "runs").mkdir()
    (tmp_path / "store" / "runs" / f".{RUN.id}.lock").touch()
    monkeypatch.setattr("fcntl.flock", failing(code))
    for ask in (
        lambda: store.save(make_record(k=1), ARRAYS),
        lambda: store.lock(record.key).__enter__(),
        lambda: store.pin(record.key),
        lambda: store.runs.write(RUN),
        lambda: store.runs.hold(RUN.id).__enter__(),
        lambda: store.runs.is_active(RUN.id),
        lambda: list(store.leftovers()),
    ):
        with pytest.raises(StoreError, match=r"(store|runs).*Use a file system with locks: a --store") as raised:
            ask()
        assert os.strerror(code) in raised.value.line()
    assert (list(store.keys()), store.runs.ids(), store.pins()) == ([record.key], [], frozenset())
    assert list((tmp_path / "store" / "tmp").iterdir()) == list((tmp_path / "store").glob("runs/*.partial")) == []


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO])
@pytest.mark.parametrize("call", ["rename", "replace"])
def test_a_rename_that_fails_leaves_nothing_half_written(tmp_path, monkeypatch, call, code):
    store = LocalStore(tmp_path / "store")
    record = store.save(make_record(), ARRAYS)
    monkeypatch.setattr(os, call, failing(code))
    save = lambda: store.save(make_record(k=1), ARRAYS)  # noqa: E731
    remove = lambda: store.remove(record.key, unless_used_after_s=math.inf)  # noqa: E731
    asked = {"rename": [save, remove], "replace": [save, lambda: store.runs.write(RUN)]}
    for ask in asked[call]:
        with pytest.raises(StoreError, match=f"{os.strerror(code)}.*Check that its file system is mounted"):
            ask()
    monkeypatch.undo()
    assert (list(store.keys()), store.runs.ids()) == ([record.key], [])
    assert is_whole(store, record.key)
    assert list((tmp_path / "store" / "tmp").iterdir()) == list((tmp_path / "store").glob("runs/.*")) == []


def test_locks_work_on_nfs(tmp_path, monkeypatch):
    """NFS locks a file exclusively only if it is open for writing; it locks folders only locally."""
    flock = fcntl.flock

    def flock_of_nfs(file, operation):
        descriptor = file if isinstance(file, int) else file.fileno()
        reading = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        if operation & fcntl.LOCK_EX and reading and stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(file, operation)

    monkeypatch.setattr("fcntl.flock", flock_of_nfs)
    store = LocalStore(tmp_path / "store")
    record = store.save(make_record(), ARRAYS)
    store.runs.write(RUN)
    with store.lock(record.key), store.runs.hold(RUN.id):
        assert store.runs.is_active(RUN.id)
        assert list(store.leftovers()) == []
    store.pin(record.key)
    assert (store.runs.ids(), store.pins(), store.runs.is_active(RUN.id)) == ([RUN.id], {record.key}, False)


@pytest.mark.parametrize("folder", ["tmp/backup", "objects/ab", "runs/x", "quarantine/a/b"])
def test_a_store_inside_another_store_is_refused(tmp_path, folder):
    LocalStore(tmp_path).save(make_record(), ARRAYS)
    with pytest.raises(StoreError, match="is inside the store"):
        LocalStore(tmp_path / folder)
    LocalStore(tmp_path / "out" / "mine").save(make_record(), ARRAYS)


def test_an_address_with_one_slash_is_not_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=r"neither a folder nor an address. Write s3://bucket/x"):
        open_store("s3:/bucket/x")
    assert not list(tmp_path.iterdir())
