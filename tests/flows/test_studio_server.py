"""The studio's HTTP interface, without a browser; with toy models."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
import toy_method
from PIL import Image
from starlette.testclient import TestClient
from studio_events import events

from svdaudio.cli import sessions
from svdaudio.studies.scenes import Scene
from svdaudio.studio.access import access_for
from svdaudio.studio.app import Studio, create_app

REGIONS = {"remove": [[20, 20, 1]], "add": [[40, 30, 1]]}


def studio_in(folder, access):
    scene = Scene(
        original=folder / "one.png", edited=folder / "two.png", remove=((20, 20),), add=((40, 30),),
        removed=("cat",), added=("duck",),
    )  # fmt: skip
    return Studio(sessions.open_session(str(folder / "store")), {"toy": scene}, access)


@pytest.fixture
def studio(monkeypatch, tmp_path):
    toy_method.install(monkeypatch, tmp_path)
    return studio_in(tmp_path, access_for("127.0.0.1", None))


@pytest.fixture
def page(studio):
    with TestClient(create_app(studio), base_url="http://127.0.0.1:8000") as client:
        yield client


def ask(**settings):
    files = {"original": "toy-original", "edited": "toy-edited"}
    return {"method": "manipulate", "files": files, "settings": {**REGIONS, **settings}}


def run(page, **settings):
    job = page.post("/api/jobs", json=ask(**settings)).json()
    received = events(page, job["id"])
    assert received[-1][1]["state"] == "finished", received[-1]
    computed = {data["node"] for name, data in received if name == "stage" and data["status"] == "computed"}
    return received[-1][1]["run"], computed


def test_tabs_are_described_from_their_methods(page):
    start = page.get("/api/start").json()
    tabs = {tab["label"]: tab for tab in start["tabs"]}
    assert list(tabs) == ["Edit", "Mixer", "CIAP"]
    assert [region["name"] for region in tabs["Edit"]["regions"]] == ["remove", "add"]
    assert tabs["Mixer"]["objects"] == "objects"
    alpha = next(one for one in tabs["Edit"]["parameters"] if one["name"] == "svd.alpha")
    assert (alpha["default"], alpha["low"], alpha["high"], alpha["kind"]) == (0.3, 0.1, 0.5, "number")
    assert start["examples"][0]["files"]["original"]["width"] == 64


def test_from_a_click_to_a_sound_and_what_a_change_runs(page):
    mask = page.post("/api/mask", json={"picture": "toy-original", "prompt": {"points": [[20, 20, 1]]}}).json()
    assert mask["path"].startswith("M")
    assert 0 < mask["share"] < 1
    assert "diffuse" in page.post("/api/plan", json=ask()).json()["will_run"]
    first, computed = run(page)
    assert "manipulated.diffuse" in computed
    result = page.get(f"/api/runs/{first}").json()
    assert {lane["name"] for lane in result["lanes"] if lane["kind"] == "sound"} == {
        "original",
        "edited",
        "manipulated",
    }
    assert result["command"].startswith("svdaudio run one.png two.png")
    plan = page.post("/api/plan", json=ask(**{"svd.alpha": 0.2})).json()
    assert plan["will_run"][:2] == ["reach", "mix"]
    assert "tokens" not in plan["will_run"]
    assert plan["estimate_s"] is not None
    feedback = page.post("/api/feedback", json=ask(**{"svd.alpha": 0.2})).json()
    assert set(feedback["reach"]) == {"removed", "added"}
    assert sum(weight for _, weight in feedback["weights"]) == pytest.approx(1)
    _, again = run(page, **{"svd.alpha": 0.2})
    assert again <= {"removed.reach", "mix", *(f"manipulated.{s}" for s in plan["will_run"])}


def test_results_are_served_by_name_in_every_format(page):
    run_id, _ = run(page)
    wav = page.get(f"/api/runs/{run_id}/sounds/manipulated.wav").content
    assert wav[:4] == b"RIFF"
    assert page.get(f"/api/runs/{run_id}/sounds/manipulated.flac").content[:4] == b"fLaC"
    assert page.get(f"/api/runs/{run_id}/sounds/nothing.wav").status_code == 404
    assert page.get(f"/api/runs/{run_id}/sounds/manipulated.exe").status_code == 400
    assert "<!doctype html>" in page.get(f"/api/runs/{run_id}/report").text
    assert "svd.alpha = 0.3" in page.get(f"/api/runs/{run_id}/config.toml").text
    page.post(f"/api/runs/{run_id}/star", json={"starred": True})
    [starred] = page.get("/api/history", params={"starred": True}).json()["runs"]
    assert starred["id"] == run_id
    assert page.get("/api/history", params={"search": "no such words"}).json()["runs"] == []


@pytest.mark.parametrize(
    ("settings", "field", "words"),
    [
        ({"svd.alpha": -1}, "svd.alpha", "expected a number"),
        ({"generate.steps": 0}, "generate.steps", "expected a whole number"),
        ({"remove": {"cat": {"mask": "/etc/passwd"}}}, None, "a file cannot be named here"),
    ],
)
def test_errors_are_those_of_the_engine_and_name_their_field(page, settings, field, words):
    answer = page.post("/api/plan", json=ask(**settings))
    assert answer.status_code == 400
    assert answer.json()["field"] == field
    assert words in answer.json()["error"]
    assert "Traceback" not in answer.text


def test_pictures_are_limited_and_private(page, studio, monkeypatch):
    data = (studio.scenes["toy"].original).read_bytes()
    added = page.post("/api/pictures", content=data, headers={"X-Name": "..%2F..%2Fcat.png"}).json()
    assert added["name"] == "cat.png"
    assert page.get(added["url"]).content == data
    refused = page.post("/api/pictures", content=b"no picture", headers={"X-Name": "cat.png"})
    assert refused.status_code == 400
    assert not re.search(r"/tmp|/var|svdaudio-studio", refused.text)
    page.cookies.clear()
    assert page.get(added["url"]).status_code == 400, "pictures of other users are not found"
    too_large = page.post("/api/pictures", headers={"Content-Length": str(10**9)}, content=iter([b""]))
    assert too_large.status_code in (411, 413)


def mask_png(width=64, height=48):
    """A mask that is white in the left half."""
    inside = np.zeros((height, width), np.uint8)
    inside[:, : width // 2] = 255
    buffer = io.BytesIO()
    Image.fromarray(inside).save(buffer, "PNG")
    return buffer.getvalue()


def upload_mask(page, data, picture="toy-original"):
    return page.post("/api/masks", params={"picture": picture}, content=data, headers={"X-Name": "cat.png"})


def test_a_mask_file_instead_of_clicks(page):
    added = upload_mask(page, mask_png()).json()
    assert (added["name"], added["width"], added["height"]) == ("cat.png", 64, 48)
    shown = page.post("/api/mask", json={"picture": "toy-original", "prompt": {"mask": added["id"]}}).json()
    assert (shown["share"], shown["score"]) == (0.5, None)
    assert shown["path"].startswith("M")
    given = {"remove": {"cat": {"mask": added["id"]}}}
    stages = page.post("/api/plan", json=ask(**given)).json()["stages"]
    assert {one["node"]: one["status"] for one in stages}["removed.mask"] == "cached", "computed by the trial"
    assert set(page.post("/api/feedback", json=ask(**given)).json()["reach"]) == {"removed", "added"}
    run_id, computed = run(page, **given)
    assert "manipulated.diffuse" in computed
    texts = [page.get(f"/api/runs/{run_id}{rest}").text for rest in ("", "/config.toml", "/report")]
    assert "cat.png" in texts[1]
    assert json.loads(texts[0])["title"] == "one → two", "a run is named after its pictures"
    assert not any("svdaudio-studio-" in text for text in texts), "no path of this machine is shown"
    files = {"original": "toy-original"}
    settings = {"objects": {"cat": {"mask": added["id"]}}, "gains": {"cat": -6}}
    plan = page.post("/api/plan", json={"method": "mixer", "files": files, "settings": settings})
    assert plan.status_code == 200, plan.text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (mask_png(48, 64), "the mask cat.png has a different size than one.png: expected 64 x 48, got 48 x 64"),
        (b"no picture", "cat.png is not an image"),
    ],
)
def test_an_invalid_mask_is_refused_in_one_line(page, data, words):
    refused = upload_mask(page, data)
    assert refused.status_code == 400
    assert words in refused.json()["error"]
    assert "svdaudio-studio-" not in refused.text


def test_masks_are_limited_and_private(page):
    too_large = page.post(
        "/api/masks", params={"picture": "toy-original"}, headers={"Content-Length": str(10**9)}, content=iter([b""])
    )
    assert too_large.status_code in (411, 413)
    assert "unknown picture" in upload_mask(page, mask_png(), picture="none").json()["error"]
    given = {"remove": {"cat": {"mask": upload_mask(page, mask_png()).json()["id"]}}}
    page.cookies.clear()
    refused = page.post("/api/plan", json=ask(**given))
    assert refused.status_code == 400
    assert "unknown mask" in refused.json()["error"], "masks of other users are not found"


def test_a_duration_beyond_the_recommended_one_is_planned_and_an_impossible_one_refused(page):
    plan = page.post("/api/plan", json=ask(**{"generate.duration_s": 20})).json()
    assert any("generate.duration_s" in remark for remark in plan["remarks"])
    refused = page.post("/api/plan", json=ask(**{"generate.duration_s": 601})).json()
    assert refused["field"] == "generate.duration_s"
    assert "expected a number from 0.5 to 600" in refused["error"]


@pytest.mark.parametrize("path", ["..%2fapp.py", "app.py", "%2e%2e%2fpeople.py", "nothing.js"])
def test_no_file_is_served_by_its_path(page, path):
    assert page.get(f"/static/{path}").status_code == 404


def test_foreign_hosts_foreign_origins_and_large_bodies_are_refused(page):
    assert page.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert page.post("/api/plan", json=ask(), headers={"Origin": "http://evil.example"}).status_code == 403
    assert page.post("/api/plan", content=b"{" + b" " * 2**21).status_code == 413
    assert page.get("/docs").status_code == 404


def test_a_password_is_required_where_others_can_connect(monkeypatch, tmp_path):
    toy_method.install(monkeypatch, tmp_path)
    app = create_app(studio_in(tmp_path, access_for("0.0.0.0", "correct horse")))
    with TestClient(app, base_url="http://studio.example", follow_redirects=False) as client:
        assert client.get("/").headers["location"] == "/login"
        assert client.get("/api/start").status_code == 401
        assert client.post("/login", data={"password": "wrong"}).status_code == 401
        assert client.post("/login", data={"password": "correct horse"}).headers["location"] == "/"
        assert client.get("/api/start").status_code == 200


def test_a_batch_reports_its_rows_and_serves_its_table(page):
    header = "name,original,edited,remove,add"
    rows = ['first,one.png,two.png,"[[20,20,1]]","[[40,30,1]]"', 'second,two.png,one.png,"[[30,20,1]]","[[40,30,1]]"']
    body = {"name": "rows.csv", "csv": "\n".join([header, *rows]), "method": "manipulate"}
    job = page.post("/api/batch", json=body).json()
    assert [row["name"] for row in job["rows"]] == ["first", "second"]
    received = events(page, job["id"])
    assert received[-1][1]["state"] == "finished", received[-1]
    last = {data["name"]: data["state"] for name, data in received if name == "row"}
    assert last == {"first": "finished", "second": "finished"}
    table = page.get(f"/api/jobs/{job['id']}/table.csv").text
    assert "first" in table
    assert "second" in table


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("a,/etc/passwd,two.png,,", "not uploaded"),
        ("a,../../one.png,two.png,,", "not uploaded"),
        ("a,one.png,two.png,/tmp/x.wav,", "the column 'out' is not available"),
        ('a,one.png,two.png,,"{""mask"": ""/etc/passwd""}"', "a file cannot be named here"),
    ],
)
def test_a_batch_opens_and_writes_nothing_by_path(page, row, words):
    body = {"name": "rows.csv", "csv": f"name,original,edited,out,remove\n{row}", "method": "manipulate"}
    refused = page.post("/api/batch", json=body)
    assert refused.status_code == 400
    assert words in refused.json()["error"]


def test_the_example_is_available_at_once(page, studio):
    assert page.get("/api/start").json()["example_run"] is None
    studio.warm_up()
    while (found := page.get("/api/start").json()["example_run"]) is None:
        pass
    assert page.get(f"/api/runs/{found}").json()["title"] == "one → two"


def test_two_users_work_independently(studio):
    app = create_app(studio)
    with TestClient(app, base_url="http://127.0.0.1:8000") as one:
        two = TestClient(app, base_url="http://127.0.0.1:8000")
        jobs = {
            who: who.post("/api/jobs", json=ask(**{"svd.alpha": alpha})).json()
            for who, alpha in ((one, 0.2), (two, 0.4))
        }
        for who, job in jobs.items():
            assert events(who, job["id"])[-1][1]["state"] == "finished"
            assert [mine["id"] for mine in who.get("/api/start").json()["jobs"]] == [job["id"]]
        assert two.get(f"/api/jobs/{jobs[one]['id']}/events").status_code == 400


def test_a_stopped_run_is_resumed_from_the_history(page, studio):
    request = studio.example_request()
    run = studio.session.run(request, stopping=lambda: True).run
    assert run.state == "interrupted"
    job = page.post(f"/api/runs/{run.id}/resume", json={}).json()
    assert events(page, job["id"])[-1][1]["state"] == "finished"
    found = page.get(f"/api/runs/{run.id}").json()
    assert found["closer"]["closer"] in (True, False, None)
    assert found["marks"]["mel"][0] == ["0", 0.0]
