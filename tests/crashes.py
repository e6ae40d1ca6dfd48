"""Runs the toy workflow in processes that are killed, run out of disk space or lose permissions at any point.

    python tests/crashes.py MODE FOLDER SEED N       prints the outcome as JSON; exits with 1 if a check fails

Modes and the meaning of N: "moments" (N deaths at random moments), "steps" (a death before every Nth change of the file
system), "full" and "locked" (from every Nth change on all of them fail, as on a full disk or without permission),
"full-disk" and "permissions" (the same with a real file system and real permissions; N is ignored), "crowd" (eight
processes, N of them killed).

It is a separate process because it forks: it imports once, then starts each child in a few milliseconds. Changes of
the file system are seen through audit events, which Python raises before every such call.
"""

from __future__ import annotations

import errno
import functools
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr  # noqa: F401 - once, before any fork
from conftest import ToyWorld
from numpy.random import default_rng

from svdaudio.engine.request import new_run, resumed_request
from svdaudio.engine.stage import Stage
from svdaudio.errors import StoreError
from svdaudio.store import LocalStore, RunRecord
from svdaudio.store.gc import HOUR_S, Policy, carry_out, plan_collection

N_NUMBERS = 20_000
"""Per file: large enough that a process is often killed while writing."""

NOBODY = 65_534
"""A user who is not root."""

CHANGES = {
    "open": lambda path, mode, flags: bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)),
    "os.mkdir": lambda *arguments: True,
    "os.rename": lambda *arguments: True,
    "os.remove": lambda *arguments: True,
    "os.rmdir": lambda *arguments: True,
    "os.utime": lambda *arguments: True,
}
"""Audit events that change the file system."""

GROWING = ("open", "os.mkdir", "os.rename")
"""Those that fail on a full disk."""

default_rng(0)  # imported before any fork


class WatchedStore(LocalStore):
    """A local store that logs each computation in a file next to it."""

    def save(self, record, arrays):
        with (self.folder.parent / "computed").open("a") as log:
            log.write(f"{record.key}\n")
        return super().save(record, arrays)


class World(ToyWorld):
    """A toy world with larger arrays whose process may be killed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        super().__init__(folder)
        rng = np.random.default_rng(0)
        for path in self.files.values():
            path.write_text(" ".join(f"{number:.4f}" for number in rng.uniform(0, 10, N_NUMBERS)))
        self.store = WatchedStore(folder / "store", durable=False)

    def unfinished(self) -> RunRecord | None:
        return next((run for run in self.store.runs if run.state != "finished"), None)

    def resume_or_run(self, **changes: Any) -> RunRecord:
        """Resume the unfinished run, or start one."""
        run = self.unfinished()
        request = self.request(**changes) if run is None else resumed_request(run, self.method, self.bundle)
        return self.run(request, run=run or new_run(request))

    def computed(self) -> Counter[str]:
        """Key → number of computations."""
        log = self.folder / "computed"
        return Counter(log.read_text().split()) if log.exists() else Counter()


def in_child(work: Callable[[], Any]) -> int:
    """Call `work` in a child process; returns its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except StoreError as error:
        print(error.line(), file=sys.stderr)
        code = error.exit_code
    except BaseException:  # noqa: BLE001 - whatever it is, this process ends here
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def exit_status(child: int) -> int:
    """The exit code of a child, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def on_change(folder: Path, act: Callable[[str], None]) -> None:
    """Call `act` before every change to something in `folder`, in this process from now on."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in CHANGES and str(arguments[0]).startswith(str(folder)) and CHANGES[event](*arguments):
            act(event)

    sys.addaudithook(hook)


def killed_before(world: World, n: int) -> Callable[[], None]:
    """A run that dies before its nth change of the store."""

    def work() -> None:
        counter = itertools.count()

        def act(event: str) -> None:
            if next(counter) == n:
                os.kill(os.getpid(), signal.SIGKILL)

        on_change(world.store.folder, act)
        world.resume_or_run()

    return work


def failing_from(world: World, n: int, number: int) -> Callable[[], None]:
    """A run for which every change of the store fails from the nth on, with this error number."""

    def work() -> None:
        counter = itertools.count()

        def act(event: str) -> None:
            refused = number != errno.ENOSPC or event in GROWING
            if next(counter) >= n and refused:
                raise OSError(number, os.strerror(number))

        on_change(world.store.folder, act)
        world.resume_or_run()

    return work


def logging_errors(world: World, work: Callable[[], Any]) -> Callable[[], Any]:
    """Wrap `work` so that its errors are written to a file of the world."""

    def logged() -> None:
        os.dup2(os.open(world.folder / "errors", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        work()

    return logged


class Harness:
    """Runs, disturbances and the checks after each.

    Args:
        folder: A new folder for all files.
        seed: Seed of the random moments.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.n_worlds = itertools.count()
        undisturbed = self.new_world()
        begun = time.perf_counter()
        assert exit_status(in_child(undisturbed.resume_or_run)) == 0
        self.span_s = time.perf_counter() - begun
        self.wanted = {key: undisturbed.store.find(key).outputs for key in list(undisturbed.store.keys())}
        self.final = undisturbed.store.runs.load("latest").stage("manipulated.scores").outputs
        self.happened: Counter[str] = Counter()
        self.states: Counter[str] = Counter()
        self.messages: set[str] = set()

    def new_world(self) -> World:
        return World(self.folder / f"world{next(self.n_worlds)}")

    def disturb(self, world: World, attempt: Callable[..., int], *arguments: Any) -> int:
        """One attempt, `attempt(world, *arguments)`, and a check of the store; returns its exit status."""
        there = set(world.store.keys())
        before = world.computed()
        status = attempt(world, *arguments)
        again = (world.computed() - before).keys() & there
        assert not again, f"computed again although stored: {again}"
        self.check(world)
        return status

    def check(self, world: World) -> None:
        """Check that all artifacts are complete and correct, and that the run is recorded as interrupted."""

        def read_everything() -> None:
            fresh = LocalStore(world.store.folder)
            for key in list(fresh.keys()):
                fresh.load(key)  # raises if anything contradicts its record
                assert fresh.find(key).outputs == self.wanted[key], "other bytes"
            assert not (fresh.folder / "quarantine").exists(), "a killed process must damage nothing"

        assert exit_status(in_child(read_everything)) == 0
        run = world.unfinished()
        if run is not None:
            assert not world.store.runs.is_active(run.id), "dead processes must hold no locks"
            self.states[run.state] += 1

    def finish(self, world: World) -> None:
        """Resume undisturbed, which gives the bytes of an undisturbed run; gc then leaves only the artifacts."""
        assert self.disturb(world, self._resume_or_run) == 0
        store = world.store
        run = store.runs.load("latest")
        assert run.state == "finished"
        assert run.stage("manipulated.scores").outputs == self.final
        assert set(store.keys()) == set(self.wanted)
        collection = carry_out(store, plan_collection(store, Policy(grace_s=HOUR_S), now_s=time.time() + 2 * HOUR_S))
        assert not collection.removals
        self.happened["leftovers"] += len(collection.leftovers)
        rest = {path.name for name in ("tmp", "locks") for path in (store.folder / name).iterdir()}
        assert not rest, f"gc left {rest}"
        rest = {path.name for path in (store.folder / "runs").iterdir()} - {f"{name}.json" for name in store.runs.ids()}
        assert not rest, f"gc left {rest}"
        assert {other.state for other in store.runs} == {"finished"}
        assert len(list(store.folder.glob("objects/??/*"))) == len(self.wanted)
        self.happened["runs"] += 1

    def moments(self, n: int) -> None:
        """Kill n times at random moments; a run that survives its attempt ends a round."""
        while self.happened["deaths"] < n:
            world = self.new_world()
            for _ in range(self.random.randint(1, 6)):
                remaining = 1 - len(set(world.store.keys())) / len(self.wanted)
                moment_s = self.random.uniform(0, self.span_s * (0.1 + remaining))
                if self.disturb(world, self._kill_after, moment_s) == 0:
                    break
                self.happened["deaths"] += 1
            self.finish(world)

    @staticmethod
    def _resume_or_run(world: World) -> int:
        return exit_status(in_child(logging_errors(world, world.resume_or_run)))

    @staticmethod
    def _kill_after(world: World, moment_s: float) -> int:
        child = in_child(world.resume_or_run)
        time.sleep(moment_s)
        os.kill(child, signal.SIGKILL)
        return exit_status(child)

    def steps(self, stride: int) -> None:
        """Kill before every change of the store, or before every `stride`th."""
        for place in itertools.count(self.random.randrange(stride), stride):
            world = self.new_world()
            status = self.disturb(world, self._kill_before, place)
            if status == 0:  # no changes are left
                self.happened["changes"] = place
                return
            assert status == -signal.SIGKILL
            self.happened["deaths"] += 1
            self.finish(world)

    def failing(self, stride: int, number: int) -> None:
        """Let all changes of the store fail from each change on, or from every `stride`th."""
        for place in itertools.count(self.random.randrange(stride), stride):
            world = self.new_world()
            status = self.disturb(world, self._fail_from, place, number)
            messages = (world.folder / "errors").read_text().splitlines()
            if status == 0:
                self.happened["changes"] = place
                return
            assert status == StoreError.exit_code, messages
            assert os.strerror(number) in messages[-1], messages
            self.messages.add(messages[-1].replace(str(world.store.folder), "STORE"))
            self.happened["failures"] += 1
            self.finish(world)

    @staticmethod
    def _kill_before(world: World, place: int) -> int:
        return exit_status(in_child(killed_before(world, place)))

    @staticmethod
    def _fail_from(world: World, place: int, number: int) -> int:
        return exit_status(in_child(logging_errors(world, failing_from(world, place, number))))

    def crowd(self, n_processes: int, n_killed: int) -> None:
        """Processes with overlapping work, each in its own order; some are killed midway."""
        world = self.new_world()
        whole = world.body

        def slow(stage: Stage) -> Callable[..., dict[str, Any]]:
            quick = whole(stage)

            @functools.wraps(quick)
            def body(**arguments: Any) -> dict[str, Any]:
                time.sleep(0.02)
                return quick(**arguments)

            return body

        world.body = slow
        settings = [{"svd__alpha": alpha, "seed": seed} for alpha in (0.1, 0.2, 0.3) for seed in (1, 2)]

        def work(seed: int) -> None:
            for changes in random.Random(seed).sample(settings, len(settings)):
                world.run(world.request(**changes))
            for key in list(world.store.keys()):
                world.store.load(key)

        children = [in_child(lambda seed=seed: work(seed)) for seed in range(n_processes)]
        if n_killed:
            time.sleep(self.span_s / 2)
            for child in children[:n_killed]:
                os.kill(child, signal.SIGKILL)
        ends = [exit_status(child) for child in children]
        assert ends[n_killed:] == [0] * (n_processes - n_killed), ends
        keys, counts = set(world.store.keys()), world.computed()
        assert counts.keys() == keys
        assert not (world.store.folder / "quarantine").exists()
        assert n_killed or not list(world.store.leftovers())
        self.happened.update(deaths=ends.count(-signal.SIGKILL), keys=len(keys), computed=counts.total())

    def permissions(self) -> None:
        """Folders and records that an unprivileged user may not write or not read."""
        warm = self.new_world()
        places = [(name, 0o555) for name in ("objects", "tmp", "locks", "runs")] + [("a record", 0), ("a run", 0)]
        for name, mode in places:
            world = self.new_world()
            assert exit_status(in_child(killed_before(world, 160))) == -signal.SIGKILL
            store = world.store
            record = next(store.folder.glob("objects/??/*/record.json"))
            run = next(store.folder.glob("runs/*.json"))
            path = {"a record": record, "a run": run}.get(name, store.folder / name)
            for other in (world.folder, *world.folder.rglob("*")):
                if os.geteuid() == 0:
                    os.chown(other, NOBODY, NOBODY)
            usual = path.stat().st_mode
            path.chmod(mode)
            errors = world.folder / "errors"
            errors.touch()
            errors.chmod(0o666)
            there = set(store.keys())
            assert self._resume_unprivileged(world, warm) == StoreError.exit_code, (name, errors.read_text())
            message = errors.read_text().splitlines()[-1]
            assert "Permission denied" in message, message
            assert "Check its permissions" in message or "check its permissions" in message, message
            self.messages.add(message.replace(str(store.folder), "STORE"))
            assert set(store.keys()) >= there
            path.chmod(usual)
            self.happened["failures"] += 1
            self.finish(world)

    @staticmethod
    def _resume_unprivileged(world: World, warm: World) -> int:
        def work() -> None:
            warm.resume_or_run()  # triggers postponed imports while the modules can still be read
            if os.geteuid() == 0:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            world.resume_or_run()

        return exit_status(in_child(logging_errors(world, work)))

    def full_disk(self) -> None:
        """A separate file system of a few megabytes that is nearly full before a run."""
        for room in (4096, 100_000, 200_000, 300_000):
            world = self.new_world()
            world.store.folder.mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(world.store.folder)]
            if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
                return
            try:
                statistics = os.statvfs(world.store.folder)
                ballast = world.store.folder / ".ballast"
                with ballast.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, statistics.f_bavail * statistics.f_frsize - room)
                status = self.disturb(world, self._resume_or_run)
                message = (world.folder / "errors").read_text().splitlines()[-1]
                assert status == StoreError.exit_code, message
                assert "No space left on device" in message, message
                self.messages.add(message.replace(str(world.store.folder), "STORE"))
                ballast.unlink()
                self.happened["failures"] += 1
                self.finish(world)
            finally:
                subprocess.run(["umount", str(world.store.folder)], capture_output=True, check=True)


def modes(harness: Harness, n: int) -> dict[str, Callable[[], None]]:
    """The modes of the command line."""
    return {
        "moments": lambda: harness.moments(n),
        "steps": lambda: harness.steps(n),
        "full": lambda: harness.failing(n, errno.ENOSPC),
        "locked": lambda: harness.failing(n, errno.EACCES),
        "full-disk": harness.full_disk,
        "permissions": harness.permissions,
        "crowd": lambda: harness.crowd(8, n),
    }


def main(mode: str, folder: str, seed: str, n: str) -> None:
    """Run a mode and print the outcome."""
    harness = Harness(Path(folder), int(seed))
    modes(harness, int(n))[mode]()
    print(json.dumps({**harness.happened, "states": harness.states, "messages": sorted(harness.messages)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
