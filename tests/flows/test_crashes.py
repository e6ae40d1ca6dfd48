"""Killed processes, full disks, lost permissions and damage: no wrong byte, no repeated work, no leftovers.

`crashes.py` contains the harness; `Harness.check` and `Harness.finish` check the store after each disturbance.
"""

from __future__ import annotations

import json
import logging
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from svdaudio.engine.run import read_outputs
from svdaudio.errors import RunError
from svdaudio.store import LocalStore

HARNESS = Path(__file__).parents[1] / "crashes.py"
SECONDS = 3000


def harness(mode, folder, n, seed=0):
    """The outcome of a run of the harness, which fails if any check failed."""
    command = [sys.executable, HARNESS, mode, folder, str(seed), str(n)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("n", "seed"), [(20, 0), *(pytest.param(50, seed, marks=pytest.mark.nightly) for seed in (1, 2, 3, 4))]
)
@pytest.mark.timeout(SECONDS)
def test_killed_at_random_moments(tmp_path, n, seed):
    happened = harness("moments", tmp_path, n, seed)
    assert happened["deaths"] >= n
    assert happened["runs"] > 0
    assert happened["states"].keys() <= {"running"}, "without a process: interrupted"


@pytest.mark.parametrize(("stride", "least"), [(40, 5), pytest.param(1, 200, marks=pytest.mark.nightly)])
@pytest.mark.timeout(SECONDS)
def test_killed_before_any_change_of_the_store(tmp_path, stride, least):
    happened = harness("steps", tmp_path, stride)
    assert happened["deaths"] >= least
    assert happened["runs"] == happened["deaths"]
    assert happened["leftovers"] > 0, "killed processes leave files, which gc removes"


@pytest.mark.parametrize("mode", ["full", "locked"])
@pytest.mark.parametrize("stride", [80, pytest.param(2, marks=pytest.mark.nightly)])
@pytest.mark.timeout(SECONDS)
def test_every_write_fails_from_some_moment_on(tmp_path, mode, stride):
    happened = harness(mode, tmp_path, stride)
    assert happened["failures"] >= 200 / stride
    for message in happened["messages"]:
        assert "cannot be written" in message
        assert ("ree some space" if mode == "full" else "permissions") in message


def test_a_full_disk(tmp_path):
    happened = harness("full-disk", tmp_path, 0)
    if not happened.get("failures"):
        pytest.skip("no file system can be mounted here; the previous test simulates it")
    assert happened["failures"] == happened["runs"] == 4
    assert all("No space left on device" in message for message in happened["messages"])


def test_lost_permissions():
    """Not in pytest's folder, which the unprivileged user of a harness run by root cannot access."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        happened = harness("permissions", folder, 0)
    assert happened["failures"] == happened["runs"] == 6
    assert any("cannot be read" in message for message in happened["messages"])
    assert any("cannot be written" in message for message in happened["messages"])


@pytest.mark.parametrize(
    ("n_killed", "seed"), [(0, 0), (2, 1), *(pytest.param(3, seed, marks=pytest.mark.nightly) for seed in range(2, 8))]
)
@pytest.mark.timeout(SECONDS)
def test_concurrent_processes_compute_each_key_once(tmp_path, n_killed, seed):
    happened = harness("crowd", tmp_path, n_killed, seed)
    assert happened["keys"] == 6 + 3 + 6
    assert happened["keys"] <= happened["computed"] <= happened["keys"] + happened["deaths"]
    assert happened["deaths"] <= n_killed


def damage(path, rng):
    """Flip a bit of a file, or truncate, empty or remove it; returns the kind of damage."""
    data = bytearray(path.read_bytes())
    kind = rng.choice(["flip", "flip", "flip", "cut", "empty", "remove"])
    if kind == "flip" and data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        data = data[: rng.randrange(len(data))]
    else:
        data = bytearray()
    if kind == "remove":
        path.unlink()
    else:
        path.write_bytes(bytes(data))
    return kind


@pytest.mark.parametrize("n", [25, pytest.param(300, marks=pytest.mark.nightly)])
@pytest.mark.timeout(SECONDS)
def test_damaged_files_are_repaired_with_the_same_outputs(toy, caplog, n):
    """Arrays, their metadata and records: each output that can be read is correct, and a run repairs the others."""
    rng = random.Random(n)
    first = toy.run()
    keys = {entry.key for entry in first.stages}
    n_repaired = 0
    for _ in range(n):
        files = sorted(path for path in toy.store.folder.glob("objects/**/*") if path.is_file())
        damaged = rng.choice(files)
        kind = damage(damaged, rng)
        caplog.clear()
        toy.calls.clear()
        with caplog.at_level(logging.WARNING):
            run = toy.run()
            for entry in first.stages:
                again = read_outputs(toy.work(run=run), entry.node)
                assert again.keys() == entry.outputs.keys()
        assert [entry.outputs for entry in run.stages] == [entry.outputs for entry in first.stages], (damaged, kind)
        assert toy.calls.total() <= 1, "only the damaged artifact is recomputed"
        if toy.calls:
            n_repaired += 1
            assert kind == "remove" or "is damaged" in caplog.text
        assert set(toy.store.keys()) == keys
    assert n_repaired > n / 2


@pytest.mark.parametrize("n", [100, pytest.param(2000, marks=pytest.mark.nightly)])
def test_a_damaged_run_record_is_detected_or_reads_the_same(toy, n):
    """A flipped bit that leaves a record readable must not change its contents."""
    run = toy.run()
    path = toy.store.folder / "runs" / f"{run.id}.json"
    whole = path.read_bytes()
    rng = random.Random(n)
    n_detected = 0
    for _ in range(n):
        kind = damage(path, rng)
        try:
            found = toy.store.runs.load("latest")
        except RunError as error:
            n_detected += 1
            message = error.line()
        else:
            message = None
            assert found == run
        assert message is None or ((kind == "remove" or "is damaged" in message) and "tart" in message)
        path.write_bytes(whole)
    assert n_detected > n / 2


def demo(store, *, kill_after_s=None):
    """Run the demo in a separate process; returns its exit code and output."""
    command = [sys.executable, "-m", "svdaudio.cli", "demo", "--json", "--store", str(store)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate(timeout=kill_after_s or SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    return process.returncode, out, err


@pytest.mark.nightly
@pytest.mark.timeout(SECONDS)
def test_the_demo_killed_again_and_again(tmp_path):
    begun = time.perf_counter()
    code, out, err = demo(tmp_path / "undisturbed")
    span_s = time.perf_counter() - begun
    assert code == 0, err
    expected = json.loads(out)
    rng = np.random.default_rng(0)
    store = LocalStore(tmp_path / "killed")
    n_deaths, there = 0, set()
    for _ in range(12):
        code, out, err = demo(store.folder, kill_after_s=rng.uniform(0.1, 0.6) * span_s)
        if code == 0:
            break
        n_deaths += 1
        assert there <= set(store.keys())
        there = set(store.keys())
    command = [sys.executable, "-m", "svdaudio.cli", "demo", "--json", "--store", str(store.folder)]
    done = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True).stdout)
    assert n_deaths > 2
    assert [stage["key"] for stage in done["stages"]] == [stage["key"] for stage in expected["stages"]]
    assert {stage["status"] for stage in done["stages"] if stage["key"] in there} == {"cached"}
    for name, path in expected["audio"].items():
        assert Path(done["audio"][name]).read_bytes() == Path(path).read_bytes()
