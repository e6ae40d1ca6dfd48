"""Measure overheads of the workflow: finished runs, cached stages, plans, the store.

    python bench/overheads.py

A run of the farm scene with the mini bundle is computed once. Then, in this process and without imports, the same
command runs again (every stage is cached), and `plan`, first with the artifacts of that run in the store, then with
thousands of artifacts and the hundreds of runs that could have made them. Then follow the time from a change of alpha
to its new sound, as a separate process and with the resident process, compared with the time that its stages compute;
and the processor time of a cached run and of each command's help. With `--compiled`, processes find compiled bytecode
even if the environment keeps Python from writing it (as in many containers), where each process would compile all that
it imports. Finally, arrays of the sizes that the method stores are alternately written to and read from a store and a
plain safetensors file: a store compresses, checks digests and waits for the disk, a plain file does not.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
from clock import seconds
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from svdaudio.cli import main as svdaudio
from svdaudio.store.keys import Action, digest_array
from svdaudio.store.local import LocalStore
from svdaudio.store.records import ArraySpec, ArtifactRecord
from svdaudio.studies.scenes import demo_scene

SCENE = demo_scene().arguments
COMMANDS = ("run", "plan", "mix", "batch", "sweep", "evaluate", "schedule", "checkpoints", "report", "cache")
SIZES = {
    "tokens of a picture": (257, 768),
    "latents of three candidates": (3, 8, 256, 16),
    "ten seconds of sound": (3, 160_000),
    "64 MB": (16_000_000,),
}


def typical(work: Callable[[], object], n_repeats: int) -> float:
    """The median of several times."""
    return median(seconds(work) for _ in range(n_repeats))


def command(*arguments: str) -> Callable[[], None]:
    """Run a `svdaudio` command in this process and discard its output."""

    def run() -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            status = svdaudio(arguments)
        if status:
            raise SystemExit(f"svdaudio {' '.join(arguments)} ended with {status}")

    return run


def fill(store: LocalStore, n_artifacts: int) -> int:
    """Add made-up artifacts and runs with them to a store; return the number of runs.

    Runs are copies of the newest one with other keys, as in a store after many edits.
    """
    like = store.runs.read(store.runs.ids()[0])
    n_runs = -(-n_artifacts // len(like.stages))
    array = np.zeros(16, np.float32)
    output = ArraySpec(digest=digest_array(array), shape=array.shape, dtype=str(array.dtype))
    for number in range(n_runs):
        stages = []
        for entry in like.stages:
            assert entry.action is not None
            action = replace(entry.action, parameters={**entry.action.parameters, "made up": number})
            store.save(made_up(action, output), {"made_up": array})
            stages.append(replace(entry, action=action, key=action.key))
        older = f"2025{like.id[4:-4]}{number:04x}"
        store.runs.write(replace(like, id=older, stages=tuple(stages)), durable=False)
    return n_runs


def made_up(action: Action, output: ArraySpec) -> ArtifactRecord:
    """The record of an artifact with one small array."""
    return ArtifactRecord(
        action=action,
        outputs={"made_up": output},
        sources={},
        notes=(),
        seconds=1.0,
        code_version="",
        host="",
        created_at="2026-01-01T00:00:00.000+00:00",
    )


def changes_of_alpha(where: list[str], n_repeats: int, *, resident: bool) -> dict[str, float]:
    """Median seconds from a change of alpha to its sound, as a process, and of the computing in its stages."""
    environment = {**os.environ, "SVDAUDIO_RESIDENT": "" if resident else "off"}
    whole: list[float] = []
    stages: list[float] = []
    for number in range(n_repeats + 1):
        alpha = f"svd.alpha={(0.5 if resident else 0.6) + 0.001 * number:.3f}"
        program = [sys.executable, "-m", "svdaudio.cli", "run", *SCENE, *where, "--set", alpha, "--json"]
        begun = time.perf_counter()
        done = subprocess.run(program, check=True, capture_output=True, env=environment)
        if number:  # the first one warms up
            whole.append(time.perf_counter() - begun)
            found = json.loads(done.stdout)["stages"]
            stages.append(sum(one["seconds"] for one in found if one["status"] == "computed"))
    return {"whole": median(whole), "stages": median(stages)}


def processor_seconds(*arguments: str) -> float:
    """Processor time of a command as a process."""
    before = os.times()
    subprocess.run([sys.executable, "-m", "svdaudio.cli", *arguments], check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def store_against_files(folder: Path, shape: tuple[int, ...], n_repeats: int) -> dict[str, float]:
    """Median seconds to write and read, of a durable store, a store that is not durable, and a plain file."""
    array: NDArray[np.float32] = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    stores = {"store": LocalStore(folder / "durable"), "not durable": LocalStore(folder / "not", durable=False)}
    output = ArraySpec(digest=digest_array(array), shape=array.shape, dtype=str(array.dtype))
    path = folder / "plain.safetensors"
    times: dict[str, list[float]] = {}
    for number in range(n_repeats):
        for name, store in stores.items():
            action = Action(
                stage="bench", version=1, parameters={"n": number, "shape": list(shape)}, inputs={}, models={}
            )
            record = made_up(action, output)
            times.setdefault(f"{name}, write", []).append(seconds(lambda: store.save(record, {"made_up": array})))  # noqa: B023
            times.setdefault(f"{name}, read", []).append(seconds(lambda: store.load(record.key)))  # noqa: B023
        times.setdefault("file, write", []).append(seconds(lambda: save_file({"made_up": array}, path)))
        times.setdefault("file, read", []).append(seconds(lambda: load_file(path)))
    return {name: median(found) for name, found in times.items()}


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--artifacts", type=int, default=10_000)
    options.add_argument("--repeats", type=int, default=7)
    options.add_argument("--compiled", action="store_true", help="processes find compiled bytecode")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if given.compiled:
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
            os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
        where = ["--store", str(folder / "store")]
        run, plan = command("run", *SCENE, *where), command("plan", *SCENE, *where)
        whole = seconds(run)
        store = LocalStore(folder / "store")
        n_stages = len(store.runs.read(store.runs.ids()[0]).stages)
        print(f"the run computed: {whole:.1f} s, {n_stages} stages, imports and models included")
        again = typical(run, given.repeats)
        print(
            f"the same again, in process: {again:.3f} s (goal 1), "
            f"{again / n_stages * 1e3:.1f} ms per cached stage, including the run's overhead (goal 10)"
        )
        program = [sys.executable, "-m", "svdaudio.cli", "run", *SCENE, *where]
        process = typical(lambda: subprocess.run(program, check=True, capture_output=True), given.repeats)
        print(f"the same again, in a new process: {process:.2f} s")
        resident = [sys.executable, "-m", "svdaudio.cli", "resident"]
        own = changes_of_alpha(where, min(given.repeats, 3), resident=False)
        subprocess.run([*resident, "start"], check=True, capture_output=True)
        handed = changes_of_alpha(where, min(given.repeats, 3), resident=True)
        subprocess.run([*resident, "stop"], check=True, capture_output=True)
        # Stages of a new process also import and load; those of the resident process only compute.
        print(f"alpha to new sound: its stages compute for {handed['stages']:.1f} s")
        for kind, found, goal in (("in a new process", own, 3), ("with the resident process", handed, 1.2)):
            print(f"alpha to new sound, {kind}: {found['whole'] / handed['stages']:.2f} times that (goal {goal})")
        cached = median(processor_seconds("run", *SCENE, *where) for _ in range(given.repeats))
        print(f"the same again, in a new process: {cached:.2f} s of processor time (goal 0.6)")
        top = median(processor_seconds("--help") for _ in range(given.repeats))
        helps = {name: median(processor_seconds(name, "--help") for _ in range(3)) for name in COMMANDS}
        slowest = max(helps, key=lambda name: helps[name])
        print(f"help of `{slowest}`, the slowest: {helps[slowest] / top:.2f} times the top level's (goal 1.5)")
        works = {"plan": plan, "plan of another alpha": command("plan", *SCENE, *where, "--set", "svd.alpha=0.2")}
        n_before = len(list(store.keys()))
        for name, work in works.items():
            print(f"{name} with {n_before} artifacts in the store: {typical(work, given.repeats):.3f} s")
        n_runs = fill(LocalStore(folder / "store", durable=False), given.artifacts)
        n_after = len(list(store.keys()))
        for name, work in {**works, "run again": run}.items():
            print(
                f"{name} with {n_after} artifacts and {n_runs} more runs in the store: "
                f"{typical(work, given.repeats):.3f} s (goal 1)"
            )
        print("\n| array | bytes | write, of a file's | not durable | read, of a file's |\n|---|---|---|---|---|")
        for name, shape in SIZES.items():
            times = store_against_files(folder, shape, given.repeats)
            write, relaxed = (times[f"{kind}, write"] / times["file, write"] for kind in ("store", "not durable"))
            read = times["store, read"] / times["file, read"]
            n_bytes = 4 * int(np.prod(shape))
            print(f"| {name} | {n_bytes} | {write:.1f} | {relaxed:.1f} | {read:.1f} |", flush=True)


if __name__ == "__main__":
    main()
