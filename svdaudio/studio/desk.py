"""The job queue of the studio: each session computes one job at a time, people take turns, and jobs can be followed.

A job that replaces another stops it between two stages. Its finished stages are in the store, so nothing runs twice.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from svdaudio.engine.batch import BatchEvent
from svdaudio.engine.batches import Batch
from svdaudio.engine.journal import Event
from svdaudio.engine.request import Request
from svdaudio.errors import InputError, SvdAudioError
from svdaudio.session import Result, Session
from svdaudio.store.runs import RunRecord

State = Literal["queued", "running", "finished", "failed", "stopped"]
N_ID = 40
N_KEPT = 50
"""Finished jobs that are kept for each person."""

Work = Callable[["Job", Session], State]
"""Computes a job in a session, records its run and events in it, and returns its final state; raises on failure."""


@dataclass(kw_only=True)
class Job:
    """A unit of work that a person has requested."""

    id: str
    person: str
    method: str
    work: Work
    ask: Mapping[str, Any]
    """The request as the page sent it."""
    created_at: str
    state: State = "queued"
    run: str | None = None
    error: str | None = None
    table: Path | None = None
    """The table of a batch, once it is written."""
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, dict[str, Any]]])
    """Name and data of each event; the last one is a "job" in its final state."""
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self.state in ("finished", "failed", "stopped")


class Desk:
    """Queues jobs and runs them in its own threads.

    Args:
        sessions: each computes one job at a time.
    """

    def __init__(self, sessions: Sequence[Session]) -> None:
        self._jobs: dict[str, Job] = {}
        self._turns: deque[str] = deque()
        """People in the order of their turns."""
        self._changed = threading.Condition()
        self._closing = False
        self._running: list[Job] = []
        """Running jobs in the order in which they started."""
        self._threads = [
            threading.Thread(target=self._work, args=(session,), name=f"studio jobs {number}", daemon=True)
            for number, session in enumerate(sessions, start=1)
        ]
        for thread in self._threads:
            thread.start()

    def close(self, *, timeout_s: float | None = None) -> None:
        """Stops all jobs after their current stages; waits for them, at most `timeout_s`."""
        with self._changed:
            self._closing = True
            for job in self._jobs.values():
                job.stop.set()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout_s)

    def submit(
        self, person: str, method: str, work: Work, ask: Mapping[str, Any], *, replaces: str | None = None
    ) -> Job:
        """Queues a job.

        Args:
            person: the owner of the job.
            method: name of the method.
            work: computes the job.
            ask: the request as the page sent it.
            replaces: a job of that person to stop.
        """
        job = Job(
            id=secrets.token_urlsafe(12),
            person=person,
            method=method,
            work=work,
            ask=ask,
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        with self._changed:
            old = self._jobs.get(replaces or "")
            if old is not None and old.person == person:
                self._stop(old)
            self._jobs[job.id] = job
            if person not in self._turns:
                self._turns.append(person)
            self.notify_all()
            mine = [one for one in self._jobs.values() if one.person == person and one.is_over]
            for forgotten in mine[:-N_KEPT]:
                del self._jobs[forgotten.id]
            self._changed.notify_all()
        return job

    def find(self, person: str, job: str) -> Job:
        """Returns a job of a person.

        Raises:
            InputError: the id is unknown.
        """
        found = self._jobs.get(job)
        if found is None or found.person != person:
            raise InputError("unknown job", got=job[:N_ID], fix="start it again")
        return found

    def of(self, person: str) -> list[Job]:
        """The jobs of a person, newest first."""
        with self._changed:
            return [one for one in reversed(self._jobs.values()) if one.person == person]

    def stop(self, job: Job) -> None:
        """Stops a job: at once if it has not started, else between two stages."""
        with self._changed:
            self._stop(job)
            self.notify_all()

    def facts(self, job: Job) -> dict[str, Any]:
        """The job as JSON data."""
        with self._changed:
            position = self._position(job)
        return {
            "id": job.id,
            "method": job.method,
            "state": job.state,
            "position": position,
            "run": job.run,
            "error": None if job.error is None else {"error": job.error, "field": None},
            "ask": dict(job.ask),
            "created_at": job.created_at,
        }

    def n_waiting(self) -> int:
        """Number of jobs that wait or run."""
        with self._changed:
            return sum(not job.is_over for job in self._jobs.values())

    # -- the threads -----------------------------------------------------------------------------------------------

    def _work(self, session: Session) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._order())
                if self._closing:
                    return
                job = self._order()[0]
                self._turns.remove(job.person)
                self._turns.append(job.person)
                self._running.append(job)
                job.state = "running"
                self.notify_all()
            self._run(job, session)

    def _run(self, job: Job, session: Session) -> None:
        try:
            state = job.work(job, session)
        except SvdAudioError as error:
            job.error, state = (f"{error.node}: " if error.node else "") + error.line(), "failed"
        except Exception as error:  # noqa: BLE001 - the page shows it, and the next job runs
            job.error, state = f"{type(error).__name__}: {error}", "failed"
        with self._changed:
            self._running.remove(job)
            job.state = state
            self.notify_all(job)

    def _order(self) -> list[Job]:
        """The waiting jobs in the order in which they start, provided that running jobs end in the order they began.

        Next is always the oldest job of the person with the fewest running jobs; ties go to the person whose turn is
        first.
        """
        queued = [one for one in self._jobs.values() if one.state == "queued"]
        waiting = {person: deque(one for one in queued if one.person == person) for person in self._turns}
        running, turns, found = [one.person for one in self._running], list(self._turns), list[Job]()
        while people := [person for person in turns if waiting[person]]:
            if len(running) == len(self._threads):
                del running[0]
            person = min(people, key=running.count)
            found.append(waiting[person].popleft())
            running.append(person)
            turns.remove(person)
            turns.append(person)
        return found

    def _stop(self, job: Job) -> None:
        job.stop.set()
        if job.state == "queued":
            job.state = "stopped"
            self.notify(job)

    def _position(self, job: Job) -> int:
        """Number of jobs that have to end before it starts, in the current order."""
        if job.state != "queued":
            return 0
        n_free = len(self._threads) - len(self._running)
        return max(0, self._order().index(job) + 1 - n_free)

    def notify(self, job: Job) -> None:
        """Sends the state of a job to its followers."""
        job.events.append(("job", self.facts(job)))

    def notify_all(self, ended: Job | None = None) -> None:
        """Sends the states of all jobs, whose positions may have changed."""
        for job in self._jobs.values():
            if not job.is_over or job is ended:
                self.notify(job)


def run_work(request: Request, desk: Desk) -> Work:
    """The work of computing a new run."""

    def work(job: Job, session: Session) -> State:
        run = session.new_run(request)
        job.run = run.id
        desk.notify(job)
        return _ended(session.run(request, run=run, pictures=False, **_following(job)))

    return work


def resume_work(run: RunRecord, desk: Desk) -> Work:
    """The work of resuming an earlier run."""

    def work(job: Job, session: Session) -> State:
        job.run = run.id
        desk.notify(job)
        return _ended(session.resume(run, pictures=False, **_following(job)))

    return work


def _following(job: Job) -> dict[str, Any]:
    def progress(event: Event) -> None:
        job.events.append(("stage", _stage(event)))

    return {"progress": progress, "stopping": job.stop.is_set}


def _ended(result: Result) -> State:
    return "finished" if result.run.state == "finished" else "stopped"


def batch_work(batch: Batch, desk: Desk) -> Work:
    """The work of computing a batch: an event for each row that changes state, and the table at the end."""

    def work(job: Job, session: Session) -> State:
        job.run = batch.record.id
        for one in batch.jobs:
            job.events.append(("row", {"name": one.name, "state": "finished" if one.done else "queued", "error": None}))
        desk.notify(job)
        states: dict[str, str] = {}

        def progress(row: BatchEvent) -> None:
            failed = row.event.kind in ("failed", "skipped")
            state = "failed" if failed else "running"
            if states.get(row.pair) != state:
                states[row.pair] = state
                text = row.event.text or None
                job.events.append(("row", {"name": row.pair, "state": state, "error": text if failed else None}))

        record, runs = session.run_batch(batch, progress=progress, stopping=job.stop.is_set)
        for one, run in zip(batch.jobs, runs, strict=True):
            job.events.append(("row", {"name": one.name, "state": run.state, "error": run.error}))
        table = record.results.get("table")
        job.table = None if table is None else Path(table)
        return "stopped" if record.state == "interrupted" else "failed" if record.state == "failed" else "finished"

    return work


def _stage(event: Event) -> dict[str, Any]:
    entry = event.entry
    return {
        "node": event.node,
        "kind": event.kind,
        "status": None if entry is None else entry.status,
        "seconds": None if entry is None else round(entry.seconds, 4),
        "text": event.text or ("" if entry is None else entry.reason),
        "n_done": event.n_done,
        "n_total": event.n_total,
    }
