"""The jobs of the studio: as many compute at a time as there are sessions, and people take turns; all can be followed.

A job that replaces another stops it between two stages; what it had computed is in the store, so that nothing runs
twice.
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
N_KEPT = 50
"""Jobs of a person that are remembered."""

Work = Callable[["Job", Session], State]
"""Computes a job in a session, enters its run and events, and returns how it ended; raises what it fails with."""


@dataclass(kw_only=True)
class Job:
    """A request that somebody waits for."""

    id: str
    person: str
    method: str
    work: Work
    ask: Mapping[str, Any]
    """As the page sent it."""
    created_at: str
    state: State = "queued"
    run: str | None = None
    error: str | None = None
    table: Path | None = None
    """Of a batch, once it is written."""
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, dict[str, Any]]])
    """Name and data of each; the last one is a "job" in its final state."""
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("finished", "failed", "stopped")


class Desk:
    """Takes jobs, and runs them in threads of its own.

    Args:
        sessions: each computes one job at a time.
    """

    def __init__(self, sessions: Sequence[Session]) -> None:
        self._jobs: dict[str, Job] = {}
        self._turns: deque[str] = deque()
        """People, the one whose turn it is first."""
        self._changed = threading.Condition()
        self._closing = False
        self._running: list[Job] = []
        """In the order in which they began."""
        self._threads = [
            threading.Thread(target=self._work, args=(session,), name=f"studio jobs {number}", daemon=True)
            for number, session in enumerate(sessions, start=1)
        ]
        for thread in self._threads:
            thread.start()

    def close(self, *, timeout_s: float | None = None) -> None:
        """Stop after the stages that are computed now; wait for them, but no longer than that."""
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
        """Take a job.

        Args:
            person: who waits for it.
            method: name of the method.
            work: computes it.
            ask: as the page sent it.
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
            self.tell_all()
            mine = [one for one in self._jobs.values() if one.person == person and one.is_over]
            for forgotten in mine[:-N_KEPT]:
                del self._jobs[forgotten.id]
            self._changed.notify_all()
        return job

    def find(self, person: str, job: str) -> Job:
        """A job of a person.

        Raises:
            InputError: there is none of that id.
        """
        found = self._jobs.get(job)
        if found is None or found.person != person:
            raise InputError("there is no such job", fix="start it again")
        return found

    def of(self, person: str) -> list[Job]:
        """The jobs of a person, newest first."""
        with self._changed:
            return [one for one in reversed(self._jobs.values()) if one.person == person]

    def stop(self, job: Job) -> None:
        """Stop a job: at once if it has not begun, else between two stages."""
        with self._changed:
            self._stop(job)
            self.tell_all()

    def facts(self, job: Job) -> dict[str, Any]:
        """A job as JSON data."""
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
        """How many jobs wait or run."""
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
                self.tell_all()
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
            self.tell_all(job)

    def _order(self) -> list[Job]:
        """The waiting jobs in the order in which they begin, if those that run end in the order in which they began.

        Next is always the oldest job of the person of whom the fewest jobs run; among equals, of the first in turn.
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
            self.tell(job)

    def _position(self, job: Job) -> int:
        """How many jobs have to end before it begins, as turns stand."""
        if job.state != "queued":
            return 0
        n_free = len(self._threads) - len(self._running)
        return max(0, self._order().index(job) + 1 - n_free)

    def tell(self, job: Job) -> None:
        """Let everybody who follows a job know its state."""
        job.events.append(("job", self.facts(job)))

    def tell_all(self, ended: Job | None = None) -> None:
        """Positions have changed."""
        for job in self._jobs.values():
            if not job.is_over or job is ended:
                self.tell(job)


def one_run(request: Request, desk: Desk) -> Work:
    """The work of a new run."""

    def work(job: Job, session: Session) -> State:
        run = session.new_run(request)
        job.run = run.id
        desk.tell(job)
        return _ended(session.run(request, run=run, pictures=False, **_following(job)))

    return work


def resumed(run: RunRecord, desk: Desk) -> Work:
    """The work that is left of an earlier run."""

    def work(job: Job, session: Session) -> State:
        job.run = run.id
        desk.tell(job)
        return _ended(session.resume(run, pictures=False, **_following(job)))

    return work


def _following(job: Job) -> dict[str, Any]:
    def progress(event: Event) -> None:
        job.events.append(("stage", _stage(event)))

    return {"progress": progress, "stopping": job.stop.is_set}


def _ended(result: Result) -> State:
    return "finished" if result.run.state == "finished" else "stopped"


def whole_batch(batch: Batch, desk: Desk) -> Work:
    """The work of a batch: its rows are told as they end, and its table is written at the end."""

    def work(job: Job, session: Session) -> State:
        job.run = batch.record.id
        for one in batch.jobs:
            job.events.append(("row", {"name": one.name, "state": "finished" if one.done else "queued", "error": None}))
        desk.tell(job)
        states: dict[str, str] = {}

        def progress(told: BatchEvent) -> None:
            failed = told.event.kind in ("failed", "skipped")
            state = "failed" if failed else "running"
            if states.get(told.pair) != state:
                states[told.pair] = state
                text = told.event.text or None
                job.events.append(("row", {"name": told.pair, "state": state, "error": text if failed else None}))

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
