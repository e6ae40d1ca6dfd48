"""The models that bundles lack, and fetching them through the studio from a local server."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest
from file_server import FileServer, serving
from published_toy import CONTENT, N_BYTES, everything
from starlette.testclient import TestClient
from studio_events import events

from svdaudio.checkpoints import registry
from svdaudio.session import Session
from svdaudio.studio.access import access_for
from svdaudio.studio.app import Studio, create_app


@dataclass
class World:
    """A client of the studio, a server of weights, and the studio."""

    page: TestClient
    server: FileServer
    studio: Studio

    def bundle(self, name="full"):
        return next(one for one in self.page.get("/api/bundles").json()["bundles"] if one["name"] == name)

    def fetch(self, *, trust=False, name="full"):
        return self.page.post(f"/api/bundles/{name}/fetch", json={"trust": trust})


@pytest.fixture
def world(monkeypatch, tmp_path):
    monkeypatch.setenv("SVDAUDIO_CHECKPOINTS", str(tmp_path / "checkpoints"))
    with serving(CONTENT) as server:
        publish(monkeypatch, server.url, server.sha256)
        studio = Studio(Session(tmp_path / "store"), {}, access_for("127.0.0.1", None))
        with TestClient(create_app(studio), base_url="http://127.0.0.1:8000") as page:
            yield World(page, server, studio)
            server.go.set()


def publish(monkeypatch, url, sha256):
    monkeypatch.setattr(registry, "registry", lambda: (everything(url, sha256),))


def wait_for(condition):
    while not condition():  # the test's timeout bounds it
        threading.Event().wait(0.01)


def test_bundles_list_what_they_lack_and_fetched_models_are_usable(world):
    mini, full = (world.bundle(name) for name in ("mini", "full"))
    assert mini["ready"]
    assert {model["role"] for model in mini["models"]} >= {"segmenter", "diffuser"}
    assert mini["bytes"] > 10**6
    assert mini["models"][0]["licence"] != "unknown"
    assert not full["ready"]
    [lacking] = full["lacks"]
    assert (lacking["bytes"], lacking["bytes_here"], lacking["licence"]) == (N_BYTES, 0, "CC BY 4.0")
    job = world.fetch().json()
    received = events(world.page, job["id"])
    assert received[-1][1]["state"] == "finished", received[-1]
    assert [data["state"] for name, data in received if name == "model"] == ["queued", "fetching", "fetched"]
    last = [data for name, data in received if name == "bytes"][-1]
    assert (last["n_done"], last["n_total"], last["n_files_done"], last["n_files"]) == (N_BYTES, N_BYTES, 1, 1)
    full = world.bundle()
    assert (full["ready"], full["lacks"], full["faults"]) == (True, [], {})
    assert world.studio.session.bundle("full").digests("diffuser")
    again = world.fetch()
    assert (again.status_code, again.json()["error"]) == (
        409, "the bundle 'full' lacks no model that can be downloaded.",
    )  # fmt: skip


def test_a_stopped_download_is_resumed_and_others_see_it(world):
    world.server.held_after = N_BYTES // 3
    job = world.fetch().json()
    found = world.studio.downloads.find("", job["id"])
    wait_for(lambda: world.bundle()["lacks"][0]["bytes_here"] == N_BYTES // 3)
    assert any(name == "bytes" and data["n_total"] == N_BYTES for name, data in found.events)
    other = TestClient(world.page.app, base_url="http://127.0.0.1:8000")
    shown = other.get("/api/bundles").json()
    assert (shown["job"]["id"], shown["job"]["state"]) == (job["id"], "running")
    assert other.post("/api/bundles/full/fetch", json={}).json()["id"] == job["id"], "a download is not started twice"
    other.post(f"/api/jobs/{job['id']}/stop", json={})
    world.server.held_after = None
    world.server.go.set()  # the download continues
    assert events(world.page, job["id"])[-1][1]["state"] == "stopped"
    assert 0 < world.bundle()["lacks"][0]["bytes_here"] < N_BYTES
    again = world.fetch().json()
    assert events(world.page, again["id"])[-1][1]["state"] == "finished"
    assert world.server.ranges[-1] is not None, "only the rest is requested"
    assert world.bundle()["ready"]


def test_a_model_without_a_published_digest_must_be_accepted_first(world, monkeypatch):
    publish(monkeypatch, world.server.url, None)
    assert world.bundle()["lacks"][0]["needs_trust"]
    refused = world.fetch()
    assert refused.status_code == 409
    assert "Accept files without a published digest" in refused.json()["error"]
    assert world.server.requests == []


def test_errors_are_those_of_the_command_line(world, monkeypatch):
    world.server.statuses = [404]
    received = events(world.page, world.fetch().json()["id"])
    assert received[-1][1]["state"] == "failed"
    assert "cannot download everything.ckpt: got 127.0.0.1" in received[-1][1]["error"]["error"]
    assert "answered 404" in received[-1][1]["error"]["error"]
    publish(monkeypatch, "", None)
    [lacking] = world.bundle()["lacks"]
    assert lacking["by_hand"].startswith("download everything.ckpt from https://example.org/everything with a browser")
    assert "svdaudio checkpoints import" in world.fetch(trust=True).json()["error"]
    assert world.fetch(name="nothing").json()["error"].startswith("unknown bundle 'nothing'")


def test_missing_and_truncated_files_are_detected(world, tmp_path):
    events(world.page, world.fetch().json()["id"])
    path = tmp_path / "checkpoints" / "full" / "everything.ckpt"
    path.unlink()
    assert [one["name"] for one in world.bundle()["lacks"]] == ["everything"]
    path.write_bytes(CONTENT[:100])
    full = world.bundle()
    assert not full["ready"]
    assert "does not match the description of the bundle 'full'" in full["faults"]["diffuser"]
    (tmp_path / "checkpoints" / "full" / "bundle.json").write_text("{")
    damaged = world.bundle()
    assert not damaged["ready"]
    assert "is damaged" in damaged["faults"][""]


def test_fetching_needs_permission(world, tmp_path):
    elsewhere = world.page.post("/api/bundles/full/fetch", json={}, headers={"Origin": "http://evil.example"})
    assert elsewhere.status_code == 403
    guarded = create_app(Studio(Session(tmp_path / "store"), {}, access_for("0.0.0.0", "correct horse")))
    with TestClient(guarded, base_url="http://studio.example") as stranger:
        assert stranger.post("/api/bundles/full/fetch", json={}).status_code == 401
    assert world.server.requests == []
