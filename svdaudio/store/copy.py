"""Copy artifacts and runs from one store to another, whatever their backends.

What the target already has is skipped, so the same call resumes an interrupted copy. Every array is checked against
its digest when it is read; the target writes as usual, the record last. A run's record is copied after its artifacts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Literal

from svdaudio.errors import CorruptArtifactError, InputError, MissingArtifactError, NewerRecordError
from svdaudio.store.base import Store
from svdaudio.store.runs import RunRecord
from svdaudio.store.sealed import NewerFormatError

Outcome = Literal["copied", "there", "damaged", "gone", "newer"]

N_PARALLEL = 4


@dataclass(frozen=True, kw_only=True)
class CopyReport:
    """Result of a copy."""

    copied: tuple[str, ...]
    """Keys of artifacts that were written."""
    there: tuple[str, ...]
    """Keys that the target already had."""
    damaged: tuple[str, ...]
    """Keys whose artifacts did not match their digests; they are now in quarantine."""
    gone: tuple[str, ...]
    """Keys that runs refer to but the source no longer has."""
    newer: tuple[str, ...] = ()
    """Keys whose artifacts a newer version of svdaudio wrote, in either store; they were not changed."""
    runs: tuple[str, ...]
    """Ids of runs whose records were written."""
    runs_damaged: tuple[str, ...] = ()
    """Ids of runs whose records cannot be read."""
    runs_newer: tuple[str, ...] = ()
    """Ids of runs whose records a newer version of svdaudio wrote, in either store; they were not changed."""
    runs_gone: tuple[str, ...] = ()
    """Ids of runs that a batch refers to but the source no longer has."""
    n_bytes: int
    """Uncompressed size of the arrays that were written."""

    @property
    def complete(self) -> bool:
        """Whether the target now has everything that the source should have had."""
        missing = (self.damaged, self.gone, self.newer, self.runs_damaged, self.runs_newer, self.runs_gone)
        return not any(missing)


def _ignore(key: str, outcome: Outcome) -> None:
    del key, outcome


def copy_store(
    source: Store,
    target: Store,
    *,
    runs: Iterable[RunRecord] | None = None,
    on_artifact: Callable[[str, Outcome], None] = _ignore,
) -> CopyReport:
    """Copy artifacts and run records.

    Args:
        source: store to copy from.
        target: store to copy to.
        runs: the runs to copy, with their artifacts; for a batch also the runs of its pairs. Default: everything.
        on_artifact: called from several threads, with the key and outcome of each artifact.

    Raises:
        InputError: one of the stores is inside the other.
        StoreError: the source cannot be read, or the target cannot be written. What was copied so far stays.
    """
    check_apart(source, target)
    run_ids = source.runs.ids() if runs is None else list(dict.fromkeys(_with_members(runs)))
    read_runs = [_read_run(source, run_id) for run_id in run_ids]
    wanted_runs = [run for run in read_runs if isinstance(run, RunRecord)]
    if runs is None:
        keys = sorted(source.keys())
    else:
        keys = sorted({entry.key for run in wanted_runs for entry in run.stages if entry.key and entry.outputs})

    def copy(key: str) -> tuple[Outcome, int]:
        outcome, n_bytes = _copy_artifact(source, target, key, listed=runs is None)
        on_artifact(key, outcome)
        return outcome, n_bytes

    pool = ThreadPoolExecutor(N_PARALLEL, thread_name_prefix="svdaudio-copy")
    try:
        outcomes = list(pool.map(copy, keys))
    finally:
        pool.shutdown(cancel_futures=True)
    run_outcomes = {run.id: _copy_run(source, target, run) for run in wanted_runs}
    run_outcomes |= {
        run_id: run for run_id, run in zip(run_ids, read_runs, strict=True) if not isinstance(run, RunRecord)
    }

    def keys_that(outcome: Outcome) -> tuple[str, ...]:
        return tuple(key for key, (found, _) in zip(keys, outcomes, strict=True) if found == outcome)

    def runs_that(outcome: Outcome) -> tuple[str, ...]:
        return tuple(run_id for run_id, found in run_outcomes.items() if found == outcome)

    return CopyReport(
        copied=keys_that("copied"),
        there=keys_that("there"),
        damaged=keys_that("damaged"),
        gone=keys_that("gone"),
        newer=keys_that("newer"),
        runs=runs_that("copied"),
        runs_damaged=runs_that("damaged"),
        runs_newer=runs_that("newer"),
        runs_gone=runs_that("gone") if runs is not None else (),
        n_bytes=sum(n_bytes for _, n_bytes in outcomes),
    )


def check_apart(source: Store, target: Store) -> None:
    """Reject two stores if one is inside the other: `gc` in the outer one would delete the inner one.

    Raises:
        InputError: they are the same, or one is inside the other.
    """
    here, there = (_place(store.location) for store in (source, target))
    if here == there:
        raise InputError("a store cannot be copied into itself", got=source.location)
    if here in there.parents or there in here.parents:
        raise InputError(
            "one of the two stores is inside the other",
            got=f"{source.location} and {target.location}",
            fix="choose a location outside the store",
        )


def _place(location: str) -> PurePath:
    """The location of a store, with links resolved."""
    return PurePosixPath(location) if "://" in location else Path(location).resolve()


def _with_members(runs: Iterable[RunRecord]) -> Iterator[str]:
    """Ids of runs, each batch after the runs of its pairs."""
    for run in runs:
        for member in run.results.get("members", ()):
            yield member["run"]
        yield run.id


def _read_run(source: Store, run_id: str) -> RunRecord | Outcome:
    try:
        return source.runs.read(run_id)
    except FileNotFoundError:
        return "gone"
    except NewerFormatError:
        return "newer"
    except ValueError:
        return "damaged"


def _copy_artifact(source: Store, target: Store, key: str, *, listed: bool) -> tuple[Outcome, int]:
    """Copy an artifact; `listed`: the source listed it a moment ago."""
    try:
        if target.find(key) is not None:
            return "there", 0
        record = source.find(key)
        if record is None:
            return "damaged" if listed and source.was_quarantined(key) else "gone", 0
        arrays = source.load(key)
        target.save(record, arrays)
    except NewerRecordError:
        return "newer", 0
    except CorruptArtifactError:
        return "damaged", 0
    except MissingArtifactError:
        return "gone", 0
    return "copied", sum(array.nbytes for array in arrays.values())


def _copy_run(source: Store, target: Store, run: RunRecord) -> Outcome:
    """Copy a run's record, unless a process is working on the run or the target's record is as recent."""
    if source.runs.is_active(run.id) or target.runs.is_active(run.id):
        return "there"
    there = _read_run(target, run.id)
    if there == "newer":
        return "newer"
    if isinstance(there, RunRecord) and (there == run or there.attempts > run.attempts):
        return "there"
    target.runs.write(run)
    return "copied"
