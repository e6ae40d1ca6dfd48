"""`svdaudio gc` and `svdaudio cache` on the toy workflow's store."""

from __future__ import annotations

import errno
import os
import time

import pytest

from svdaudio.cli.gc import n_bytes
from svdaudio.store.sealed import seal, unseal


@pytest.fixture
def cli(cli, toy, monkeypatch):
    """Call the command line on the toy world's store: exit code, standard output, standard error."""
    monkeypatch.setenv("SVDAUDIO_STORE", str(toy.store.folder))
    return cli


def test_listing(toy, cli):
    run = toy.run()
    key = run.stage("mix").key
    assert cli("cache", "pin", key[:10]).out == f"{key[:12]} is pinned\n"
    listed = cli("cache", "ls", "--json").json()
    assert {entry["key"] for entry in listed["artifacts"]} == {entry.key for entry in run.stages}
    assert [entry["key"] for entry in listed["artifacts"] if entry["pinned"]] == [key]
    sizes = [entry["bytes"] for entry in cli("cache", "ls", "--by", "size", "--json").json()["artifacts"]]
    assert sizes == sorted(sizes, reverse=True)
    (mix,) = cli("cache", "ls", "--stage", "mix", "--json").json()["artifacts"]
    assert mix["key"] == key
    shown = cli("cache", "ls", "--limit", "1")
    assert shown.out.count("\n") > 2
    assert "more; raise --limit to see them" in shown.out


def test_disk_use(toy, cli):
    toy.run()
    used = cli("cache", "du", "--json").json()
    assert used["stages"]["image"]["artifacts"] == 2
    assert used["bytes"] == sum(footprint.n_bytes for footprint in toy.store.footprints())
    assert (used["runs"], used["pins"], used["leftovers"]) == (1, 0, {"n": 0, "bytes": 0})
    assert "of 1 runs, 0 pinned; 0 leftovers" in cli("cache", "du").out


def test_why(toy, cli):
    run = toy.run()
    key = run.stage("mix").key
    why = cli("cache", "why", key[:8], "--json").json()
    assert why["key"] == key
    assert why["parameters"] == {"alpha": 0.3, "k": 5}
    assert why["inputs"]["one"]["source"] == "original.factors.region"
    assert why["inputs"]["one"]["artifacts"] == [run.stage("original.factors").key]
    assert why["used_by"] == [{"run": run.id, "stage": "mix", "status": "computed"}]
    assert why["dependents"] == [{"key": run.stage("manipulated.scores").key, "stage": "scores"}]
    shown = cli("cache", "why", key[:8]).out
    for word in (key, run.id, "alpha", "original.factors.region", "scores"):
        assert word in shown


def test_pinning_and_collecting(toy, cli):
    run = toy.run()
    key = run.stage("mix").key
    assert cli("cache", "pin", key, "--json").json() == {"key": key, "pinned": True}
    for entry in run.stages:
        then = time.time() - 10
        os.utime(toy.store.path(entry.key) / "record.json", (then, then))
    planned = cli("gc", "--dry-run", "--max-size", "0", "--json").json()
    assert planned["dry_run"]
    assert planned["kept"]["artifacts"] == 1
    assert len(list(toy.store.keys())) == len({entry.key for entry in run.stages})
    result = cli("gc", "--max-size", "0")
    assert list(toy.store.keys()) == [key]
    assert "0 runs, 7 artifacts and 0 leftovers removed" in result.out
    assert "over the limit are kept" in result.err
    cli("cache", "unpin", key[:6])
    assert toy.store.pins() == frozenset()
    assert cli("gc", "--max-size", "1 kB", "--json").json()["dry_run"] is False
    assert not list(toy.store.keys())
    again = cli("cache", "unpin", key)
    assert (again.code, again.out) == (2, "")
    assert "no pin in" in again.err


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("12", 12), ("1.5 kB", 1500), ("10GB", 10**10), ("2GiB", 2**31), ("3 b", 3)]
)
def test_sizes(text, size):
    assert n_bytes(text) == size


@pytest.mark.parametrize("arguments", [("--max-size", "ten"), ("--max-size", "-1GB"), ("--keep-days", "-1")])
def test_invalid_arguments_are_a_one_line_error(toy, cli, arguments):
    result = cli("gc", *arguments)
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1


def test_a_sealed_record_moves_nothing_outside_the_store(toy, cli, tmp_path):
    """Anyone who can write to a store can seal a record that names a path outside it."""
    run = toy.run()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "record.json").write_text("mine")
    path = toy.store.folder / "runs" / f"{run.id}.json"
    for changes in ({"key": str(precious)}, {"key": "../../../precious"}):
        fields = unseal(run.to_json())
        fields["stages"][0].update(changes)
        path.write_text(seal(fields))
        for command in (
            ("show", run.id, "--prov"), ("show", run.id), ("inspect", run.id), ("resume", run.id),
            ("store", "copy", str(toy.store.folder), str(tmp_path / "copy"), "--run", run.id),
        ):  # fmt: skip
            result = cli(*command)
            assert result.code != 0
            assert "is damaged" in result.err
            assert result.err.count("\n") == 1
        assert cli("store", "copy", str(toy.store.folder), str(tmp_path / "copy")).code == 4
        assert cli("gc", "--grace-hours", "0").code == 0
    assert (precious / "record.json").read_text() == "mine"
    assert not (toy.store.folder / "quarantine").exists()


def test_an_unreadable_folder_is_a_one_line_error(toy, cli, monkeypatch, tmp_path):
    run = toy.run()
    part = toy.store.path(run.stage("mix").key).parent
    real = os.scandir

    def scandir(path="."):
        if os.fspath(path) == str(part):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(part))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    for command in (
        ("cache", "ls"), ("cache", "du"), ("cache", "why", "a"), ("gc", "--dry-run"), ("gc",),
        ("store", "copy", str(toy.store.folder), str(tmp_path / "copy")),
    ):  # fmt: skip
        result = cli(*command)
        assert (result.code, result.out) == (4, "")
        assert f"got Permission denied: {part}. Check its permissions, or choose another --store." in result.err
    assert "Permission denied" in cli("doctor").out


def test_artifacts_of_a_newer_version_are_named_and_kept(toy, cli):
    run = toy.run()
    path = toy.store.path(run.stage("mix").key) / "record.json"
    text = path.read_text().replace('"format": 2', '"format": 3')
    path.write_text(text)
    key = run.stage("mix").key[:12]
    for command in (("cache", "ls"), ("cache", "du")):
        result = cli(*command)
        assert result.code == 0
        assert f"1 artifacts were written by a newer version of svdaudio and are skipped: {key}" in " ".join(
            result.err.split()
        )
    assert cli("cache", "ls", "--json").json()["newer"] == [run.stage("mix").key]
    assert cli("cache", "du", "--json").json()["newer"]["n"] == 1
    assert "newer version" in cli("cache", "why", key).err
    assert cli("gc", "--max-size", "0", "--grace-hours", "0").code == 0
    assert path.read_text() == text


def test_only_listed_records_are_read(toy, cli, monkeypatch):
    toy.run()
    read = []
    find = type(toy.store).find
    monkeypatch.setattr(type(toy.store), "find", lambda store, key: read.append(key) or find(store, key))
    listed = cli("cache", "ls", "--limit", "2", "--json").json()
    assert [entry["key"] for entry in listed["artifacts"]] == read
    assert len(read) == 2
    assert listed["n_artifacts"] == len(list(toy.store.keys()))


def test_a_run_removed_while_it_is_pinned_is_reported(toy, cli, monkeypatch):
    key = toy.run().stage("mix").key
    pin = type(toy.store).pin

    def late(store, key):
        store.remove(key, unless_used_after_s=time.time() + 10)
        pin(store, key)

    monkeypatch.setattr(type(toy.store), "pin", late)
    result = cli("cache", "pin", key)
    assert (result.code, result.out) == (4, "")
    assert "was removed before it could be pinned" in result.err
    assert toy.store.pins() == frozenset()


def test_a_copy_into_itself_is_refused(toy, cli):
    toy.run()
    for inner in ("tmp/backup", "out/backup"):
        result = cli("store", "copy", str(toy.store.folder), str(toy.store.folder / inner))
        assert (result.code, result.out) == (4 if inner.startswith("tmp") else 2, "")
        assert "is inside the" in result.err
