"""A studio with two worker processes: they run jobs in parallel, and a killed one costs only its own job."""

from __future__ import annotations

import io
import os
import signal
import time
from pathlib import Path

import numpy as np
import picture_toy
import pytest
from cluster_toy import Notes, open_bundle, open_models
from PIL import Image
from starlette.testclient import TestClient
from studio_events import events

from svdaudio.resident.workers import Worker
from svdaudio.session import Session
from svdaudio.studio.access import access_for
from svdaudio.studio.app import Studio, create_app


@pytest.fixture
def people(notes, tmp_path, monkeypatch):
    """Two users of a studio with two workers, and their pictures."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("SVDAUDIO_METHODS", picture_toy.PLACE)
    session = Session(tmp_path / "store", open_bundle=open_bundle, open_models=open_models)
    workers = [Worker(number, n_threads=1, warm=False) for number in (1, 2)]
    studio = Studio(session, {}, access_for("127.0.0.1", None), workers=workers)
    app = create_app(studio)
    with TestClient(app, base_url="http://127.0.0.1:8000") as one:
        yield [Person(page, studio) for page in (one, TestClient(app, base_url="http://127.0.0.1:8000"))]
    assert [worker.pid for worker in workers] == [None, None], "workers end with the studio"


class Person:
    """A user of the studio with a picture."""

    def __init__(self, page, studio):
        self.page, self._studio = page, studio
        buffer = io.BytesIO()
        Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(buffer, "PNG")
        added = page.post("/api/pictures", content=buffer.getvalue(), headers={"X-Name": "grey.png"})
        self.picture = added.json()["id"]

    def ask(self, level):
        return {"method": "picture-toy", "files": {"original": self.picture}, "settings": {"level": level}}

    def submit(self, level):
        return self.page.post("/api/jobs", json=self.ask(level)).json()

    def events_so_far(self, job):
        """The events of a job so far."""
        return self._studio.desk.find(self.page.cookies["svdaudio-person"], job["id"]).events

    def ended(self, job):
        return events(self.page, job["id"])[-1][1]


def wait_for(condition):
    while not condition():  # the test's timeout bounds it
        time.sleep(0.02)


def test_two_jobs_run_at_once_and_a_killed_worker_costs_only_its_own_job(people, notes: Notes):
    one, two = people
    notes.hold("tone")
    jobs = [(one, one.submit(0.1)), (two, two.submit(0.2))]
    wait_for(lambda: notes.calls()["tone"] == 2)
    pids = notes.processes("tone")
    assert len(pids) == 2
    assert os.getpid() not in pids
    third = one.submit(0.3)
    assert (third["state"], third["position"]) == ("queued", 1)
    assert two.page.post("/api/plan", json=two.ask(0.4)).json()["will_run"] == ["tone", "scores"], "plans do not wait"

    os.kill(pids.pop(), signal.SIGKILL)
    wait_for(lambda: notes.calls()["tone"] == 3)  # a fresh process computes the third
    notes.release("tone")
    ended = [(person, person.ended(job)) for person, job in jobs]
    assert sorted(job["state"] for _, job in ended) == ["failed", "finished"]
    assert one.ended(third)["state"] == "finished"
    [(person, failed)] = [(person, job) for person, job in ended if job["state"] == "failed"]
    assert failed["error"]["error"].startswith("worker ")
    assert "died: got killed by signal 9. Start again; finished stages are kept" in failed["error"]["error"]

    resumed = person.page.post(f"/api/runs/{failed['run']}/resume", json={}).json()
    received = events(person.page, resumed["id"])
    assert received[-1][1]["state"] == "finished"
    status = {data["node"]: data["status"] for name, data in received if name == "stage" and data["kind"] == "finished"}
    assert (status["look"], status["tone"]) == ("cached", "computed")
    assert notes.calls()["look"] == 1, "workers share the store"


def kinds(received):
    return [data["kind"] for name, data in received if name == "stage"]


def test_equal_requests_are_computed_once_and_a_job_stops_between_two_stages(people, notes: Notes):
    one, two = people
    notes.hold("tone")
    jobs = [(one, one.submit(0.1)), (two, two.submit(0.1))]
    other = one.submit(0.5)
    waits = [lambda person=person, job=job: "waiting" in kinds(person.events_so_far(job)) for person, job in jobs]
    wait_for(lambda: any(wait() for wait in waits))
    stopped = one.submit(0.6)
    one.page.post(f"/api/jobs/{stopped['id']}/stop", json={})
    notes.release("tone")
    assert [person.ended(job)["state"] for person, job in jobs] == ["finished", "finished"]
    assert one.ended(stopped)["state"] == "stopped"
    assert one.ended(other)["state"] == "finished"
    assert notes.calls()["tone"] == 2
