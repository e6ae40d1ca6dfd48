"""Jobs of several users: turns, positions, stopping and replacing; with a session that computes nothing."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from svdaudio.engine.journal import Event
from svdaudio.errors import InputError
from svdaudio.studio.desk import Desk, run_work


class SlowSession:
    """Runs a request in two stages; before each it waits for the test."""

    def __init__(self):
        self.go = threading.Semaphore(0)
        self.order = []

    def new_run(self, request):
        return SimpleNamespace(id=f"run of {request.name}")

    def run(self, request, *, run, progress, stopping, pictures):
        self.order.append(request.name)
        for number in (1, 2):
            self.go.acquire()
            if request.name == "bad":
                raise InputError("the picture is bad")
            if stopping():
                return SimpleNamespace(run=SimpleNamespace(state="interrupted"))
            progress(Event(kind="started", node=f"stage {number}", stage="stage", n_done=number - 1, n_total=2))
        return SimpleNamespace(run=SimpleNamespace(state="finished"))


@pytest.fixture
def session():
    return SlowSession()


@pytest.fixture
def desk(session):
    with opened(session) as desk:
        yield desk


@contextmanager
def opened(*sessions):
    """A desk; at the end, all waiting computations are released."""
    made = Desk(sessions)
    yield made
    for session in sessions:
        for _ in range(100):
            session.go.release()
    made.close()


def request(name):
    return SimpleNamespace(name=name, kind="toy")


def submit(desk, person, name, replaces=None):
    work = run_work(request(name), desk)
    return desk.submit(person, "toy", work, {"name": name}, replaces=replaces)


def wait_for(condition):
    while not condition():
        threading.Event().wait(0.005)


def test_users_take_turns(desk, session):
    a1 = submit(desk, "a", "a1")
    wait_for(lambda: a1.state == "running")
    a2, a3, b1 = submit(desk, "a", "a2"), submit(desk, "a", "a3"), submit(desk, "b", "b1")
    positions = {job.ask["name"]: desk.facts(job)["position"] for job in (a1, a2, a3, b1)}
    assert positions["a1"] == 0
    assert sorted(positions[name] for name in ("a2", "b1")) == [1, 2]
    assert positions["a3"] == 3
    for _ in range(8):
        session.go.release()
    wait_for(lambda: a3.is_over)
    assert session.order[0] == "a1"
    assert session.order.index("b1") < session.order.index("a3"), "b waits for one job of a, not for all"
    assert {job.state for job in (a1, a2, a3, b1)} == {"finished"}


def test_two_sessions_compute_in_parallel_and_users_take_turns():
    one, other = SlowSession(), SlowSession()
    with opened(one, other) as desk:
        first, second = submit(desk, "a", "a1"), submit(desk, "a", "a2")
        wait_for(lambda: first.state == second.state == "running")
        a3, a4, b1, b2 = (submit(desk, name[0], name) for name in ("a3", "a4", "b1", "b2"))
        before = {job.ask["name"]: desk.facts(job)["position"] for job in (first, second, a3, a4, b1, b2)}
        assert before == {"a1": 0, "a2": 0, "b1": 1, "a3": 2, "b2": 3, "a4": 4}, "both running jobs are of a"
        desk.stop(a3)
        assert a4.events[-1][1]["position"] == 2, "every user who moves up is notified"
        for _ in range(2):
            one.go.release()
        wait_for(lambda: b1.state == "running")
        assert {first.state, second.state} == {"finished", "running"}
        assert desk.facts(b2)["position"] == 2, "one job of b runs, and one of a"


def test_a_replacing_job_stops_the_other_between_two_stages(desk, session):
    old = submit(desk, "a", "old")
    session.go.release()
    wait_for(lambda: any(name == "stage" for name, _ in old.events))
    new = submit(desk, "a", "new", replaces=old.id)
    for _ in range(3):
        session.go.release()
    wait_for(lambda: new.is_over)
    assert (old.state, new.state) == ("stopped", "finished")


def test_users_cannot_stop_or_see_jobs_of_others(desk, session):
    mine = submit(desk, "a", "mine")
    submit(desk, "b", "theirs", replaces=mine.id)
    assert not mine.stop.is_set()
    with pytest.raises(InputError, match="unknown job"):
        desk.find("b", mine.id)
    assert [job.ask["name"] for job in desk.of("b")] == ["theirs"]


def test_a_waiting_job_is_stopped_at_once(desk, session):
    first = submit(desk, "a", "first")
    wait_for(lambda: first.state == "running")
    second = submit(desk, "a", "second")
    desk.stop(second)
    assert second.state == "stopped"
    assert second.events[-1][1]["state"] == "stopped"
    for _ in range(2):
        session.go.release()
    wait_for(lambda: first.is_over)
    assert session.order == ["first"]


def test_an_error_is_reported_and_the_next_job_runs(desk, session):
    bad, good = submit(desk, "a", "bad"), submit(desk, "a", "good")
    for _ in range(3):
        session.go.release()
    wait_for(lambda: good.is_over)
    assert (bad.state, good.state) == ("failed", "finished")
    assert bad.events[-1] == ("job", {**desk.facts(bad)})
    assert bad.error == "the picture is bad."


def test_events_begin_and_end_with_the_job(desk, session):
    job = submit(desk, "a", "job")
    for _ in range(2):
        session.go.release()
    wait_for(lambda: job.is_over)
    names = [name for name, _ in job.events]
    assert names[0] == names[-1] == "job"
    assert [data["node"] for name, data in job.events if name == "stage"] == ["stage 1", "stage 2"]
    assert job.events[-1][1]["state"] == "finished"
