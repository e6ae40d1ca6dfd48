"""Digests are cached only for the content that was hashed: files that change meanwhile or just before."""

from __future__ import annotations

import hashlib
import json
import os
import time

import pytest

from svdaudio.checkpoints import install
from svdaudio.errors import CheckpointError
from svdaudio.weights import digests
from svdaudio.weights.digests import FileState, file_state, hash_unchanged, known_digest, remember_digest

SECOND_NS = 1_000_000_000


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(b"one")
    return path


@pytest.fixture
def note(path):
    return path.with_name(".weights.pt.sha256.json")


@pytest.fixture
def hashing(monkeypatch):
    """Counts the hashed files, and runs an action after each."""
    real, calls, then = digests.hash_file, [], []

    def hash_file(path):
        digest = real(path)
        calls.append(path)
        if then:
            then.pop(0)()
        return digest

    monkeypatch.setattr(digests, "hash_file", hash_file)
    return calls, then


def test_an_untouched_file_is_hashed_once(path, hashing):
    calls, _ = hashing
    assert known_digest(path) == known_digest(path) == sha256(b"one")
    assert len(calls) == 1
    assert known_digest(path, rehash=True) == sha256(b"one")
    assert len(calls) == 2


def test_a_file_that_is_written_to_while_it_is_hashed_is_hashed_again(path, hashing):
    calls, then = hashing
    then.append(lambda: path.write_bytes(b"two"))
    assert known_digest(path) == sha256(b"two")
    assert len(calls) == 2
    assert known_digest(path) == sha256(b"two")


def test_a_file_that_is_replaced_while_it_is_hashed_is_hashed_again(path, hashing, tmp_path):
    def replace():
        (tmp_path / "new").write_bytes(b"two")
        (tmp_path / "new").replace(path)

    hashing[1].append(replace)
    assert known_digest(path) == sha256(b"two")


def test_a_file_that_keeps_changing_has_no_digest(path, hashing, note):
    _, then = hashing
    then += [lambda: path.write_bytes(b"longer" + path.read_bytes())] * 9
    with pytest.raises(CheckpointError, match=r"weights\.pt changed while it was read"):
        known_digest(path)
    assert not note.exists()


def test_a_write_within_the_same_clock_tick_is_detected(path):
    """Same size, inode and mtime: detected because no digest is cached within a clock tick of the last change."""
    for number in range(8):
        data = f"{number:03}".encode()
        path.write_bytes(data)
        os.utime(path, ns=(SECOND_NS, SECOND_NS))
        assert known_digest(path) == sha256(data)


def test_with_timestamps_in_seconds_digests_of_recent_files_are_not_cached(path, note, monkeypatch):
    def coarse(where):
        state = state_of(where)
        return FileState(
            bytes=state.bytes, inode=state.inode, modified_ns=state.modified_ns // SECOND_NS * SECOND_NS,
            changed_ns=state.changed_ns // SECOND_NS * SECOND_NS,
        )  # fmt: skip

    state_of = digests.file_state
    monkeypatch.setattr(digests, "file_state", coarse)
    began = time.monotonic()
    assert known_digest(path) == sha256(b"one")
    assert not note.exists()
    path.write_bytes(b"two")
    assert known_digest(path) == sha256(b"two")
    assert time.monotonic() - began < 1.5  # nothing waited
    later = time.time_ns() + 3 * SECOND_NS
    monkeypatch.setattr(time, "time_ns", lambda: later)
    assert known_digest(path) == sha256(b"two")
    assert note.exists()


def test_a_future_timestamp_is_not_trusted(path, note, monkeypatch):
    earlier = time.time_ns() - 3600 * SECOND_NS
    monkeypatch.setattr(time, "time_ns", lambda: earlier)
    assert known_digest(path) == sha256(b"one")
    assert not note.exists()


def test_damaged_or_outdated_cache_entries_are_not_trusted(path, note):
    known_digest(path)
    whole = json.loads(note.read_text())
    for broken in ("", "[]", "3", json.dumps({**whole, "sha256": ""}), json.dumps({**whole, "inode": 1})):
        note.write_text(broken)
        assert known_digest(path) == sha256(b"one")


def test_a_hard_link_has_the_digest_of_the_hashed_file(path, tmp_path, hashing):
    hashed = hash_unchanged(path)
    linked = tmp_path / "linked.pt"
    os.link(path, linked)
    remember_digest(linked, hashed.sha256, hashed.state)
    assert known_digest(linked) == sha256(b"one")
    assert len(hashing[0]) == 1
    path.write_bytes(b"two")
    with pytest.raises(CheckpointError, match="changed since it was read"):
        remember_digest(linked, hashed.sha256, hashed.state)


def test_links_and_permissions_do_not_affect_digests(path, tmp_path):
    before = file_state(path)
    path.chmod(0o600)
    os.link(path, tmp_path / "linked")
    assert file_state(path).same_contents(before)
    assert not before.same_contents(None)
    path.write_bytes(b"another")
    assert not file_state(path).same_contents(before)


def test_a_source_that_changes_between_check_and_import_is_refused(yolo_file, tmp_path, monkeypatch):
    source = tmp_path / "yolov8x-oiv7.pt"
    source.write_bytes(yolo_file.read_bytes())
    link = os.link

    def change_first(one, other):
        with source.open("ab") as file:
            file.write(b"x")
        link(one, other)

    monkeypatch.setattr(os, "link", change_first)
    with pytest.raises(CheckpointError, match="changed since it was read"):
        install.take(source, tmp_path / "full", trust=True)
