"""`svdaudio gc` and `svdaudio cache` over the toy workflow's store."""

from __future__ import annotations

import os
import time

import pytest

from svdaudio.cli.gc import n_bytes


@pytest.fixture
def cli(cli, toy, monkeypatch):
    """Call the command line over the toy world's store: exit code, standard output, standard error."""
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
    assert "more; --limit shows them" in shown.out


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
    done = cli("gc", "--max-size", "0")
    assert list(toy.store.keys()) == [key]
    assert "0 runs, 7 artifacts and 0 leftovers went" in done.out
    assert "more than wanted stay" in done.err
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
def test_what_has_no_meaning_is_one_line(toy, cli, arguments):
    result = cli("gc", *arguments)
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
