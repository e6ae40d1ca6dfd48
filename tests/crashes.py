"""The toy workflow run by processes that are killed, run out of disk or lose permissions, anywhere.

    python tests/crashes.py MODE FOLDER SEED N       prints what happened as JSON; leaves 1 if something is wrong

Modes, and what N is: "moments" (N deaths at random moments), "steps" (a death before every Nth change of the file
system), "full" and "locked" (from every Nth change on all of them fail, as on a full disk or without permission),
"full-disk" and "permissions" (the same with a real file system and real permissions; N is nothing), "crowd" (eight
processes, N of them killed).

A process of its own, since it forks: imports once, then a child in a few milliseconds. What happens at the level of
the file system is seen through audit events, which Python raises before every such call.
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
"""In each file: large enough that a death often comes in the midst of writing."""

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
"""Those that a full disk refuses."""

default_rng(0)  # imported before any fork


class WatchedStore(LocalStore):
    """A local store that notes what was computed, beside itself."""

    def save(self, record, arrays):
        with (self.folder.parent / "computed").open("a") as log:
            log.write(f"{record.key}\n")
        return super().save(record, arrays)


class World(ToyWorld):
    """A toy world of larger arrays whose process may die."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        super().__init__(folder)
        rng = np.random.default_rng(0)
        for path in self.files.values():
            path.write_text(" ".join(f"{number:.4f}" for number in rng.uniform(0, 10, N_NUMBERS)))
        self.store = WatchedStore(folder / "store", durable=False)

    def unfinished(self) -> RunRecord | None:
        return next((run for run in self.store.runs if run.state != "finished"), None)

    def go_on(self, **changes: Any) -> RunRecord:
        """Resume the unfinished run, or start one."""
        run = self.unfinished()
        request = self.request(**changes) if run is None else resumed_request(run, self.method, self.bundle)
        return self.run(request, run=run or new_run(request))

    def computed(self) -> Counter[str]:
        """Key → how often it was computed."""
        log = self.folder / "computed"
        return Counter(log.read_text().split()) if log.exists() else Counter()


def in_child(work: Callable[[], Any]) -> int:
    """Do something in a child process; returns its number."""
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


def end_of(child: int) -> int:
    """How a child ended: its exit code, or minus the signal that killed it."""
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
        world.go_on()

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
        world.go_on()

    return work


def telling(world: World, work: Callable[[], Any]) -> Callable[[], Any]:
    """Work whose errors go into a file of the world."""

    def tell() -> None:
        os.dup2(os.open(world.folder / "errors", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        work()

    return tell


class Harness:
    """Runs, deaths and what is looked at after each.

    Args:
        folder: a new one, for all of it.
        seed: of the random moments.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.n_worlds = itertools.count()
        undisturbed = self.new_world()
        begun = time.perf_counter()
        assert end_of(in_child(undisturbed.go_on)) == 0
        self.span_s = time.perf_counter() - begun
        self.wanted = {key: undisturbed.store.find(key).outputs for key in list(undisturbed.store.keys())}
        self.final = undisturbed.store.runs.load("latest").stage("manipulated.scores").outputs
        self.happened: Counter[str] = Counter()
        self.states: Counter[str] = Counter()
        self.messages: set[str] = set()

    def new_world(self) -> World:
        return World(self.folder / f"world{next(self.n_worlds)}")

    def disturb(self, world: World, how: Callable[..., int], *arguments: Any) -> int:
        """One attempt, `how(world, *arguments)`, and a look at what it left; returns how it ended."""
        there = set(world.store.keys())
        before = world.computed()
        status = how(world, *arguments)
        again = (world.computed() - before).keys() & there
        assert not again, f"computed again though it was there: {again}"
        self.look(world)
        return status

    def look(self, world: World) -> None:
        """Whatever is there is whole and right, and the record of the run says that it was interrupted."""

        def read_everything() -> None:
            fresh = LocalStore(world.store.folder)
            for key in list(fresh.keys()):
                fresh.load(key)  # raises if anything is not what its record says
                assert fresh.find(key).outputs == self.wanted[key], "other bytes"
            assert not (fresh.folder / "quarantine").exists(), "a death alone damages nothing"

        assert end_of(in_child(read_everything)) == 0
        run = world.unfinished()
        if run is not None:
            assert not world.store.runs.is_active(run.id), "the dead hold no locks"
            self.states[run.state] += 1

    def finish(self, world: World) -> None:
        """Resume undisturbed: the bytes of an undisturbed run; then gc leaves nothing but the artifacts."""
        assert self.disturb(world, self._go_on) == 0
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
        """n deaths at random moments; a run that survives its attempt ends a round."""
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
    def _go_on(world: World) -> int:
        return end_of(in_child(telling(world, world.go_on)))

    @staticmethod
    def _kill_after(world: World, moment_s: float) -> int:
        child = in_child(world.go_on)
        time.sleep(moment_s)
        os.kill(child, signal.SIGKILL)
        return end_of(child)

    def steps(self, stride: int) -> None:
        """A death before every change of the store, or before every `stride`th."""
        for place in itertools.count(self.random.randrange(stride), stride):
            world = self.new_world()
            status = self.disturb(world, self._kill_before, place)
            if status == 0:  # there are no more changes than that
                self.happened["changes"] = place
                return
            assert status == -signal.SIGKILL
            self.happened["deaths"] += 1
            self.finish(world)

    def failing(self, stride: int, number: int) -> None:
        """From every change of the store on, or from every `stride`th, all of them fail."""
        for place in itertools.count(self.random.randrange(stride), stride):
            world = self.new_world()
            status = self.disturb(world, self._fail_from, place, number)
            said = (world.folder / "errors").read_text().splitlines()
            if status == 0:
                self.happened["changes"] = place
                return
            assert status == StoreError.exit_code, said
            assert os.strerror(number) in said[-1], said
            self.messages.add(said[-1].replace(str(world.store.folder), "STORE"))
            self.happened["failures"] += 1
            self.finish(world)

    @staticmethod
    def _kill_before(world: World, place: int) -> int:
        return end_of(in_child(killed_before(world, place)))

    @staticmethod
    def _fail_from(world: World, place: int, number: int) -> int:
        return end_of(in_child(telling(world, failing_from(world, place, number))))

    def crowd(self, n_processes: int, n_killed: int) -> None:
        """Processes with overlapping work, each in an order of its own; some are killed in the midst of it."""
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
        ends = [end_of(child) for child in children]
        assert ends[n_killed:] == [0] * (n_processes - n_killed), ends
        keys, counts = set(world.store.keys()), world.computed()
        assert counts.keys() == keys
        assert not (world.store.folder / "quarantine").exists()
        assert n_killed or not list(world.store.leftovers())
        self.happened.update(deaths=ends.count(-signal.SIGKILL), keys=len(keys), computed=counts.total())

    def permissions(self) -> None:
        """Folders and records that must not be written, or not be read, by somebody who is not root."""
        warm = self.new_world()
        places = [(name, 0o555) for name in ("objects", "tmp", "locks", "runs")] + [("a record", 0), ("a run", 0)]
        for name, mode in places:
            world = self.new_world()
            assert end_of(in_child(killed_before(world, 160))) == -signal.SIGKILL
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
            assert self._go_on_unprivileged(world, warm) == StoreError.exit_code, (name, errors.read_text())
            said = errors.read_text().splitlines()[-1]
            assert "Permission denied" in said, said
            assert "Check its permissions" in said or "check its permissions" in said, said
            self.messages.add(said.replace(str(store.folder), "STORE"))
            assert set(store.keys()) >= there
            path.chmod(usual)
            self.happened["failures"] += 1
            self.finish(world)

    @staticmethod
    def _go_on_unprivileged(world: World, warm: World) -> int:
        def work() -> None:
            warm.go_on()  # imports what is imported late, while it can still be read
            if os.geteuid() == 0:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            world.go_on()

        return end_of(in_child(telling(world, work)))

    def full_disk(self) -> None:
        """A file system of its own, of a few megabytes, that is filled by somebody else while a run is going."""
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
                status = self.disturb(world, self._go_on)
                said = (world.folder / "errors").read_text().splitlines()[-1]
                assert status == StoreError.exit_code, said
                assert "No space left on device" in said, said
                self.messages.add(said.replace(str(world.store.folder), "STORE"))
                ballast.unlink()
                self.happened["failures"] += 1
                self.finish(world)
            finally:
                subprocess.run(["umount", str(world.store.folder)], capture_output=True, check=True)


def modes(harness: Harness, n: int) -> dict[str, Callable[[], None]]:
    """What can be asked for."""
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
    """Do it, and say what happened."""
    harness = Harness(Path(folder), int(seed))
    modes(harness, int(n))[mode]()
    print(json.dumps({**harness.happened, "states": harness.states, "messages": sorted(harness.messages)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
