"""Artifacts and runs from one store into another, whatever backends they have.

What is there already is left alone, so that a copy that was cut short is gone on with by the same call. Every array is
checked against its digest when it is read; the target writes as it always does, the record last. The record of a run
follows after its artifacts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from svdaudio.errors import CorruptArtifactError, MissingArtifactError, RunError
from svdaudio.store.base import Store
from svdaudio.store.runs import RunRecord

Outcome = Literal["copied", "there", "damaged", "gone"]

N_PARALLEL = 4


@dataclass(frozen=True, kw_only=True)
class CopyReport:
    """What a copy did."""

    copied: tuple[str, ...]
    """Keys of artifacts that were written."""
    there: tuple[str, ...]
    """Keys that the target had already."""
    damaged: tuple[str, ...]
    """Keys whose artifacts did not match their digests; they are in quarantine now."""
    gone: tuple[str, ...]
    """Keys that runs name and the source no longer has."""
    runs: tuple[str, ...]
    """Ids of runs whose records were written."""
    n_bytes: int
    """Of the arrays that were written, unpacked."""

    @property
    def complete(self) -> bool:
        """Whether the target has everything now that the source should have had."""
        return not self.damaged and not self.gone


def _tell_nobody(key: str, outcome: Outcome) -> None:
    del key, outcome


def copy_store(
    source: Store,
    target: Store,
    *,
    runs: Iterable[RunRecord] | None = None,
    tell: Callable[[str, Outcome], None] = _tell_nobody,
) -> CopyReport:
    """Copy artifacts and run records.

    Args:
        source: where from.
        target: where to.
        runs: those with their artifacts, and of a batch its pairs' runs; if not given, every artifact and every run.
        tell: hears of each artifact when it is done with, from several threads.

    Raises:
        StoreError: the source cannot be read, or the target not written. What was copied stays.
    """
    wanted_runs = list(source.runs if runs is None else _with_members(source, runs))
    if runs is None:
        keys = sorted(source.keys())
    else:
        keys = sorted({entry.key for run in wanted_runs for entry in run.stages if entry.key and entry.outputs})

    def copy(key: str) -> tuple[Outcome, int]:
        outcome, n_bytes = _copy_artifact(source, target, key)
        tell(key, outcome)
        return outcome, n_bytes

    pool = ThreadPoolExecutor(N_PARALLEL, thread_name_prefix="svdaudio-copy")
    try:
        outcomes = list(pool.map(copy, keys))
    finally:
        pool.shutdown(cancel_futures=True)
    copied_runs = tuple(run.id for run in wanted_runs if _copy_run(source, target, run))

    def keys_that(outcome: Outcome) -> tuple[str, ...]:
        return tuple(key for key, (found, _) in zip(keys, outcomes, strict=True) if found == outcome)

    return CopyReport(
        copied=keys_that("copied"),
        there=keys_that("there"),
        damaged=keys_that("damaged"),
        gone=keys_that("gone"),
        runs=copied_runs,
        n_bytes=sum(n_bytes for _, n_bytes in outcomes),
    )


def _with_members(source: Store, runs: Iterable[RunRecord]) -> Iterator[RunRecord]:
    """Runs, each batch after the runs of its pairs that are there."""
    for run in runs:
        for member in run.results.get("members", ()):
            with suppress(RunError):
                yield source.runs.load(member["run"])
        yield run


def _copy_artifact(source: Store, target: Store, key: str) -> tuple[Outcome, int]:
    if target.find(key) is not None:
        return "there", 0
    record = source.find(key)
    if record is None:
        return "gone", 0
    try:
        arrays = source.load(key)
    except CorruptArtifactError:
        return "damaged", 0
    except MissingArtifactError:
        return "gone", 0
    target.save(record, arrays)
    return "copied", sum(array.nbytes for array in arrays.values())


def _copy_run(source: Store, target: Store, run: RunRecord) -> bool:
    """Copy a run's record, unless a process is at work on it, or the target has it as new as that."""
    if source.runs.is_active(run.id) or target.runs.is_active(run.id):
        return False
    try:
        there = target.runs.read(run.id)
    except (FileNotFoundError, ValueError):
        there = None
    if there is not None and (there == run or there.attempts > run.attempts):
        return False
    target.runs.write(run)
    return True
