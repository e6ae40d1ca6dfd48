"""Run many requests together, stage by stage, so that each model is loaded once and used for every pair.

Each pair is a separate run, with the same record, keys and bytes as if it had run alone. Inputs are never combined into
one batch of a network: on a CPU the last bits of its output depend on the size of the batch, and the same configuration
must yield the same bytes whatever else the batch contains.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol

from svdaudio.engine.batches import Batch, Job, OnError, closed, table, write_table
from svdaudio.engine.body import BodyLoader, ModelSource, load_body
from svdaudio.engine.execute import Context, NodeEvent, OnNodeEvent, Reference, execute
from svdaudio.engine.journal import Event, Journal, one_line
from svdaudio.engine.plan import N_RUNS_COMPARED
from svdaudio.engine.run import RunWork, Stopping, never_stop
from svdaudio.engine.stage import Node, ancestors, in_order
from svdaudio.errors import CheckpointError, CorruptArtifactError, StoreError
from svdaudio.store.base import Store
from svdaudio.store.locks import HeldError, refuse_to_wait
from svdaudio.store.runs import RunRecord, RunState

log = logging.getLogger(__name__)

RunnerName = Literal["in-process", "prefect"]

N_TOGETHER = 200
"""Most pairs that are open at once: each holds a lock on its run, and the number of open files is limited."""


@dataclass(frozen=True, kw_only=True)
class BatchEvent:
    """An event in the run of one pair."""

    pair: str
    event: Event


Progress = Callable[[BatchEvent], None]


class Step(Protocol):
    """Executes one node of one pair: in this process, or as a Prefect task."""

    def __call__(
        self, job: Job, context: Context, node: Node, references: Mapping[str, Reference], on_event: OnNodeEvent
    ) -> Reference:
        """Make sure that the artifact of the node is in the store."""
        ...


def in_process(
    job: Job, context: Context, node: Node, references: Mapping[str, Reference], on_event: OnNodeEvent
) -> Reference:
    """Execute a node in this process."""
    del job
    return execute(context, node.name, references, on_event)


def no_progress(event: BatchEvent) -> None:
    """Receive progress and do nothing."""
    del event


class OutputWriter(Protocol):
    """Writes the files of a pair's run: sounds, scores and, if requested, pictures. Must be picklable."""

    def write(self, job: Job, work: RunWork) -> RunRecord:
        """Write the files of the job's finished run, and enter them into its record.

        Raises:
            StoreError: the files in the store cannot be written.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class BatchWork:
    """Jobs of one bundle and one workflow, and everything needed to execute them. Picklable if its parts are."""

    jobs: Sequence[Job]
    store: Store
    models: ModelSource
    """Models by role; nothing is loaded unless something is computed."""
    output: OutputWriter | None = None
    """Writes the files of a run as soon as it is finished; without it none are written."""
    on_error: OnError = "continue"
    """Whether the other pairs continue after the run of one has failed. A store that cannot be written and a checkpoint
    that cannot be loaded concern all pairs, and always end the batch."""
    body: BodyLoader = load_body
    """Finds the body of a stage."""


BatchExecutor = Callable[[BatchWork, Progress, Stopping], list[RunRecord]]
"""Executes jobs and returns the record of each job's run: `execute_batch`, or another runner's. Picklable."""


def execute_batch(
    work: BatchWork, progress: Progress = no_progress, stopping: Stopping = never_stop, *, step: Step = in_process
) -> list[RunRecord]:
    """Execute every node of every job: each node for all jobs, then the next node.

    A job whose artifact is being computed by another process moves to the end of its node's round and waits only then,
    so that several processes can share similar jobs. (Prefect's tasks wait at once.)

    Args:
        work: the jobs.
        progress: receives every event, in this thread.
        stopping: called before each node; if true, no further node is started.
        step: how a node is executed.

    Returns:
        The record of each job's run, as it is in the store, in the order of the jobs. Runs that were not started or
        not finished are "interrupted".

    Raises:
        StoreError, CheckpointError: see `BatchWork.on_error`; every record holds the progress of its run.
        KeyboardInterrupt: likewise.
    """
    earlier = list(islice(work.store.runs, N_RUNS_COMPARED))
    runs = {job.name: job.run for job in work.jobs}
    for start in range(0, len(work.jobs), N_TOGETHER):
        with ExitStack() as stack:
            opened: list[_OpenRun] = []
            for job in work.jobs[start : start + N_TOGETHER]:
                context = Context(job.request, work.store, work.models, work.body, earlier)
                opened.append(_OpenRun(job, context, progress))
                stack.callback(opened[-1].close, "interrupted")
            try:
                proceed = _Walk(work, opened, stopping, step).run()
            finally:
                stack.close()
                runs.update({one.job.name: one.run for one in opened})
        if not proceed:
            break
    return [runs[job.name] for job in work.jobs]


class _OpenRun:
    """The run of one job while the batch works on it; its record is kept up to date."""

    def __init__(self, job: Job, context: Context, progress: Progress) -> None:
        self.job = job
        self.context = context
        self.nodes = {node.name for node in job.request.nodes}
        self.left = set(self.nodes)
        self.references: dict[str, Reference] = {}
        self.run = job.run
        self.is_open = True
        self._hold = ExitStack()
        self._hold.enter_context(context.store.runs.hold(job.run.id))
        self.journal = Journal(
            job.request, context.store.runs, job.run, lambda event: progress(BatchEvent(pair=job.name, event=event))
        )

    def finish(self, reference: Reference) -> None:
        """Enter a finished node into the record."""
        for again in reference.repaired:
            self.references[again.node] = again
        self.references[reference.node] = reference
        self.left.discard(reference.node)
        self.journal.finished(reference)

    def work(self) -> RunWork:
        """The run alone, to write its files."""
        context = self.context
        return RunWork(
            request=context.request, store=context.store, models=context.models, run=self.run, body=context.body
        )

    def close(self, state: RunState, error: BaseException | None = None) -> None:
        """Write the final record, once."""
        if not self.is_open:
            return
        self.is_open = False
        try:
            self.run = self.journal.close(state, error)
        except StoreError as second:  # the error that ended the run is the one to report
            if state == "finished":
                raise
            log.warning("%s", second)
            self.run = self.journal.run
        finally:
            self._hold.close()


class _Walk:
    """Executes a workflow for several runs, node by node."""

    def __init__(self, work: BatchWork, opened: Sequence[_OpenRun], stopping: Stopping, step: Step) -> None:
        self._work = work
        self._opened = opened
        self._stopping = stopping
        self._step = step

    def run(self) -> bool:
        """Execute every node; returns false if the batch has to stop."""
        for node in _order([one.job for one in self._opened]):
            queue = deque((one, False) for one in self._opened if one.is_open and node.name in one.nodes)
            while queue:
                one, waits = queue.popleft()
                if self._stopping():
                    return False
                try:
                    proceed = self._execute(one, node, waits=waits)
                except HeldError:
                    queue.append((one, True))
                    continue
                if not proceed:
                    return False
        return True

    def _execute(self, one: _OpenRun, node: Node, *, waits: bool) -> bool:
        def on_event(what: NodeEvent, text: str) -> None:
            if what == "waiting" and not waits:
                refuse_to_wait()
            one.journal.on_event(node.name, what, text)

        try:
            reference = self._step(one.job, one.context, node, one.references, on_event)
        except HeldError:
            raise
        except Exception as error:
            one.journal.failed(node.name, error)
            one.close("failed", error)
            if is_global_failure(error):
                raise
            return self._work.on_error == "continue"
        one.finish(reference)
        if not one.left:
            one.close("finished")
            if self._work.output is not None:
                one.run = self._work.output.write(one.job, one.work())
        return one.run.state != "failed" or self._work.on_error == "continue"


def is_global_failure(error: Exception) -> bool:
    """Whether an error concerns every pair: a store that cannot be written, a checkpoint that cannot be loaded."""
    return isinstance(error, StoreError | CheckpointError) and not isinstance(error, CorruptArtifactError)


def _order(jobs: Sequence[Job]) -> list[Node]:
    """The nodes of all jobs, in an order that loads few models."""
    targets = dict.fromkeys(target for job in jobs for target in job.request.targets)
    return in_order(ancestors(targets, jobs[0].request.table)) if jobs else []


class Tally:
    """The progress of a batch, and an estimate of the remaining time.

    Args:
        jobs: the jobs that are still to be run.
        expected: stage → seconds of one computation, used until this batch has computed the stage itself.
        n_workers: number of parallel processes.
    """

    def __init__(self, jobs: Sequence[Job], expected: Mapping[str, float], n_workers: int = 1) -> None:
        self._left = Counter(node.stage.name for job in jobs for node in job.request.nodes)
        self._expected = expected
        self._n_workers = n_workers
        self._seconds: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()
        self._nodes_left = {job.name: len(job.request.nodes) for job in jobs}
        self.n_total = sum(self._left.values())
        self.n_failed = 0

    def count(self, batch_event: BatchEvent) -> None:
        """Count an event."""
        event = batch_event.event
        if event.kind not in ("finished", "failed", "skipped"):
            return
        self._left[event.stage] -= 1
        self._nodes_left[batch_event.pair] -= 1
        self.n_failed += event.kind == "failed"
        if event.kind == "finished" and event.entry is not None:
            self._seconds[event.stage] += event.entry.seconds  # pyright: ignore[reportArgumentType] - a sum of floats
            self._seen[event.stage] += 1

    @property
    def n_done(self) -> int:
        """Number of nodes that are done."""
        return self.n_total - sum(self._left.values())

    @property
    def n_pairs_done(self) -> int:
        """Number of pairs that are done, including failed ones."""
        return sum(not left for left in self._nodes_left.values())

    @property
    def left_s(self) -> float | None:
        """Estimated seconds left; None as long as the duration of a remaining stage is unknown."""
        left_s = 0.0
        for stage, n_left in self._left.items():
            if not n_left:
                continue
            if self._seen[stage]:
                each = self._seconds[stage] / self._seen[stage]
            elif stage in self._expected:
                each = self._expected[stage]
            else:
                return None
            left_s += n_left * each
        return left_s / self._n_workers


def expected_seconds(store: Store) -> dict[str, float]:
    """Stage → mean duration of its computations, in seconds, over the newest runs of a store."""
    totals: dict[str, list[float]] = {}
    for run in islice(store.runs, N_RUNS_COMPARED):
        for entry in run.stages:
            if entry.status == "computed":
                totals.setdefault(entry.stage, []).append(entry.seconds)
    return {stage: sum(seconds) / len(seconds) for stage, seconds in totals.items()}


ExecuteJobs = Callable[[Sequence[Job]], list[RunRecord]]
"""Executes jobs of one bundle and returns their records: `execute_batch` or similar, with all but the jobs bound."""


def run_batch(
    batch: Batch, store: Store, execute_jobs: ExecuteJobs, *, table_path: Path | None
) -> tuple[RunRecord, list[RunRecord]]:
    """Run the unfinished jobs of a batch, write its table and its record.

    Args:
        batch: a new batch, or one to continue.
        store: where runs are.
        execute_jobs: called for each group of jobs that share bundle, workflow and `execution` parameters.
        table_path: path of the table.

    Returns:
        The record of the batch, and those of its runs in the order of its pairs.

    Raises:
        RunError: another process is working on the batch.
        Exception: the error that ended the batch, which is then also in the record.
    """
    begun = time.perf_counter()
    runs = {job.name: job.run for job in batch.jobs}
    with store.runs.hold(batch.record.id):
        record = store.runs.write(
            replace(batch.record, state="running", error=None, attempts=batch.record.attempts + 1)
        )
        try:
            for group in _groups([job for job in batch.jobs if not job.done]):
                found = execute_jobs(group)
                runs.update({job.name: run for job, run in zip(group, found, strict=True)})
                if any(run.state == "interrupted" for run in found):
                    break
        except BaseException as error:
            state = "failed" if isinstance(error, Exception) else "interrupted"
            try:
                store.runs.write(
                    replace(record, state=state, error=one_line(error), seconds=time.perf_counter() - begun)
                )
            except StoreError as second:  # the first error is the one to report
                log.warning("%s", second)
            raise
        ordered = [runs[job.name] for job in batch.jobs]
        if table_path is not None:
            write_table(table_path, table(batch.members, ordered))
        record = closed(record, ordered, seconds=time.perf_counter() - begun, table=table_path)
        return store.runs.write(record), ordered


def _groups(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs, grouped by models and workflow."""
    groups: dict[tuple[object, ...], list[Job]] = {}
    for job in jobs:
        config = job.request.config
        workflow = tuple(
            (node.name, node.stage.name, tuple(node.inputs.items())) for node in job.request.table.values()
        )
        groups.setdefault((config.bundle, config.execution, workflow), []).append(job)
    return list(groups.values())
