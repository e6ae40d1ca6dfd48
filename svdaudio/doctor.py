"""Checks of the installation: whether a run has everything it needs. Nothing is changed."""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Literal

from svdaudio.errors import SvdAudioError
from svdaudio.places import install_advice, restore_advice

State = Literal["ok", "note", "broken"]

GIB = 2**30
MIN_DISK_BYTES = GIB // 4
AMPLE_DISK_BYTES = 2 * GIB
MIN_MEMORY_BYTES = 2 * GIB
OFFLINE = {"DO_NOT_TRACK": ("1", "true"), "PREFECT_SERVER_ANALYTICS_ENABLED": ("false", "0")}


@dataclass(frozen=True, kw_only=True)
class Check:
    """The result of checking one item, and what to do if it is broken."""

    name: str
    state: State
    found: str
    fix: str | None = None


def examine(*, store: str | Path, bundle: str) -> list[Check]:
    """Check everything.

    Args:
        store: folder of the store, which need not exist yet, or `s3://bucket/prefix`.
        bundle: name of the checkpoint bundle to check.
    """
    from svdaudio.store import is_remote

    folder = Path(store)
    stores = (_remote_store(str(store)),) if is_remote(store) else (_store(folder), leftovers(folder, now=time.time()))
    return list(
        chain(
            _python(),
            packages(metadata.requires("svdaudio") or []),
            _machine(),
            _device(),
            _bundle(bundle),
            *stores,
            offline(os.environ),
            _server(),
            _examples(),
        )
    )


def _python() -> Iterator[Check]:
    found = f"{platform.python_version()} ({sys.executable})"
    right = (3, 11) <= sys.version_info[:2] < (3, 13)
    yield Check(
        name="python", state="ok" if right else "broken", found=found, fix=None if right else "use Python 3.11 or 3.12"
    )


def packages(requirements: list[str]) -> Iterator[Check]:
    """Check that every requirement is installed in the required version.

    Args:
        requirements: as in the metadata of a package ("numpy<3,>=2"); those of extras are skipped.
    """
    from packaging.requirements import Requirement

    n_right = 0
    for requirement in map(Requirement, requirements):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield Check(name=requirement.name, state="broken", found="not installed", fix=install_advice())
            continue
        if requirement.specifier.contains(version, prereleases=True):
            n_right += 1
        else:
            found = f"{version}, not {requirement.specifier}"
            yield Check(name=requirement.name, state="broken", found=found, fix=install_advice())
    yield Check(name="packages", state="ok", found=f"{n_right} in the required versions")


def _machine() -> Iterator[Check]:
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Check(name="cores", state="ok", found=f"{n_cores}, load {os.getloadavg()[0]:.1f}")
    free = free_memory_bytes()
    if free is not None:
        tight = free < MIN_MEMORY_BYTES
        yield Check(
            name="memory",
            state="note" if tight else "ok",
            found=f"{free / GIB:.1f} GiB free",
            fix=f"close other programs: a run may need {MIN_MEMORY_BYTES / GIB:.0f} GiB" if tight else None,
        )


def free_memory_bytes(proc: Path = Path("/proc"), control_group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Available memory of the machine, or of its control group if that has less; None if unknown."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB$", (proc / "meminfo").read_text(), re.MULTILINE)
    except OSError:
        return None
    if found is None:
        return None
    free = int(found.group(1)) * 1024
    try:
        limit = (control_group / "memory.max").read_text().strip()
        used = int((control_group / "memory.current").read_text())
    except (OSError, ValueError):
        return free
    return free if limit == "max" else max(0, min(free, int(limit) - used))


def _device() -> Iterator[Check]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Check(name="torch", state="broken", found=f"cannot be imported: {error}", fix=install_advice())
        return
    found = f"torch {torch.__version__}, {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        found += f", {torch.cuda.get_device_name(0)}"
    yield Check(name="device", state="ok", found=f"{found}{'' if torch.cuda.is_available() else ', CPU'}")


def _bundle(name: str) -> Iterator[Check]:
    from svdaudio.checkpoints.bundle import Bundle

    try:
        bundle = Bundle.open(name)
    except SvdAudioError as error:
        yield Check(name=f"bundle {name}", state="broken", found=error.line())
        return
    is_ok = True
    for role in (*bundle.roles, *bundle.missing_roles):
        try:
            bundle.check(role)
        except SvdAudioError as error:
            is_ok = False
            yield Check(name=f"bundle {name}: {role}", state="broken", found=error.line())
    if is_ok:
        yield Check(name=f"bundle {name}", state="ok", found=f"{len(bundle.roles)} models, all digests match")


def _remote_store(location: str) -> Iterator[Check]:
    from svdaudio.store import open_store

    try:
        store = open_store(location)
        n_runs = len(store.runs.ids())
        store.examine()
    except SvdAudioError as error:
        yield Check(name="store", state="broken", found=error.line())
    else:
        yield Check(name="store", state="ok", found=f"{location}, {n_runs} runs")


def _store(folder: Path) -> Iterator[Check]:
    from svdaudio.store import open_store

    try:
        store = open_store(folder)
        n_runs = len(store.runs.ids())
        store.examine()
    except SvdAudioError as error:
        yield Check(name="store", state="broken", found=error.line())
        return
    nearest = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    error = _write_error(nearest)
    if error is not None:
        fix = "choose another --store, or set SVDAUDIO_STORE"
        yield Check(name="store", state="broken", found=f"{folder}: {error}", fix=fix)
    else:
        found = f"{folder}, {n_runs} runs" if folder.exists() else f"{folder}, does not exist yet"
        yield Check(name="store", state="ok", found=found)
    free = shutil.disk_usage(nearest).free
    state: State = "broken" if free < MIN_DISK_BYTES else "note" if free < AMPLE_DISK_BYTES else "ok"
    fix = None if state == "ok" else "free some space: a run of the demo takes about 0.2 GiB"
    yield Check(name="disk", state=state, found=f"{free / GIB:.1f} GiB free", fix=fix)


def _write_error(folder: Path) -> str | None:
    """Why a file cannot be written and locked in a folder; None if it can."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".svdaudio-doctor.") as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.strerror or str(error)
    return None


def leftovers(folder: Path, *, now: float) -> Iterator[Check]:
    """Check a store for unfinished writes, damaged artifacts and interrupted runs.

    Args:
        folder: of the store.
        now: in seconds since the epoch; unfinished writes count once `gc` would remove them.
    """
    from svdaudio.store import open_store
    from svdaudio.store.gc import Policy

    try:
        store = open_store(folder)
        left = list(store.leftovers())
        old = [one for one in left if one.kind == "unfinished" and one.changed_at_s <= now - Policy().grace_s]
        damaged = [one for one in left if one.kind == "quarantined"]
        unfinished = [run.id for run in store.runs if run.state == "running" and not store.runs.is_active(run.id)]
    except SvdAudioError as error:
        yield Check(name="leftovers", state="broken", found=error.line())
        return
    if old:
        found = f"{len(old)} unfinished writes, such as {folder / old[0].name}"
        yield Check(name="leftovers", state="note", found=found, fix="remove them with `svdaudio gc`")
    if damaged:
        found = f"{len(damaged)} damaged artifacts, such as {folder / damaged[0].name}"
        fix = "check the disk; `svdaudio gc` removes them after a day, `svdaudio gc --grace-hours 0` now"
        yield Check(name="quarantine", state="note", found=found, fix=fix)
    if unfinished:
        found = f"{len(unfinished)} interrupted, most recently {unfinished[0]}"
        yield Check(name="runs", state="note", found=found, fix=f"continue it with `svdaudio resume {unfinished[0]}`")
    if not (old or damaged or unfinished):
        yield Check(name="leftovers", state="ok", found="none")


def offline(environment: Mapping[str, str]) -> Iterator[Check]:
    """Check the environment variables that keep Prefect from sending telemetry."""
    wrong = [name for name, values in OFFLINE.items() if environment.get(name, "").lower() not in values]
    if wrong:
        found = f"{', '.join(wrong)} not set: Prefect may send telemetry"
        fix = " ".join(f"{name}={OFFLINE[name][0]}" for name in wrong)
        yield Check(name="offline", state="note", found=found, fix=f"set {fix}")
    else:
        yield Check(name="offline", state="ok", found="Prefect sends no telemetry")


def _server() -> Iterator[Check]:
    chosen = os.environ.get("PREFECT_API_URL")
    if chosen is None:
        yield Check(name="prefect", state="ok", found="PREFECT_API_URL is not set: stages run in process")
        return
    import urllib.request

    try:
        with urllib.request.urlopen(f"{chosen.rstrip('/')}/health", timeout=3) as reply:  # noqa: S310 - the user's own URL
            answer = reply.status
    except (OSError, ValueError) as error:
        yield Check(
            name="prefect",
            state="broken",
            found=f"the server at {chosen} does not answer: {error}",
            fix="start it with `svdaudio server start`, or unset PREFECT_API_URL",
        )
        return
    yield Check(
        name="prefect", state="ok" if answer == 200 else "broken", found=f"the server at {chosen} answers {answer}"
    )


def _examples() -> Iterator[Check]:
    from svdaudio.studies.scenes import demo_scene

    try:
        scene = demo_scene()
    except SvdAudioError as error:
        yield Check(name="examples", state="note", found=error.line())
        return
    missing = [str(path) for path in (scene.original, scene.edited) if not path.is_file()]
    if missing:
        yield Check(name="examples", state="broken", found=f"file not found: {missing[0]}", fix=restore_advice())
    else:
        yield Check(name="examples", state="ok", found=str(scene.original.parent))
