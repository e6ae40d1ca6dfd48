"""The studio's HTTP server: pages, pictures, masks, plans, jobs, runs. docs/studio.md describes the interface."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote

from fastapi import FastAPI, Response
from fastapi import Request as Call
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from svdaudio.checkpoints.bundle import FULL
from svdaudio.config.toml import toml_of
from svdaudio.engine.batches import Batch
from svdaudio.engine.journal import Event
from svdaudio.engine.request import Request
from svdaudio.errors import CheckpointError, ConfigError, InputError, RunError, SvdAudioError
from svdaudio.methods import find_method
from svdaudio.pages import render
from svdaudio.pages.media import outline_path
from svdaudio.resident.workers import Worker, WorkerRunner
from svdaudio.session import Session
from svdaudio.sounds.writing import FORMATS
from svdaudio.studies.pairs import Common, prepare, read_rows
from svdaudio.studies.scenes import Scene
from svdaudio.studio import answers
from svdaudio.studio.access import Access
from svdaudio.studio.bundles import ALL_PEOPLE, all_bundles, downloadable_models, fetch_work
from svdaudio.studio.desk import Desk, Job, batch_work, resume_work, run_work
from svdaudio.studio.people import MAX_UPLOAD_BYTES, People, Person, add_mask, add_picture, without_folders
from svdaudio.studio.settings import check_no_files, with_masks
from svdaudio.studio.stars import Stars
from svdaudio.studio.tabs import describe, tabs

HERE = Path(__file__).parent / "static"
SHARED = ("page.css", "report.css", "player.js")
"""Files that the studio shares with the report."""
PERSON, TOKEN = "svdaudio-person", "svdaudio-token"
MAX_BODY_BYTES = 2**20
"""Limit for requests other than uploads."""
POLL_S = 0.05
CLOSE_DOWNLOADS_S = 2.0
"""How long a silent download server may delay the end of the studio; what has arrived is kept."""
KEEP_ALIVE_S = 10.0
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src 'self' data: blob:; connect-src 'self' data:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
PICTURE_TYPES = {
    b"RIFF": "image/webp",
    b"\x89PNG": "image/png",
    b"\xff\xd8": "image/jpeg",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
}
"""First bytes of a file → its type."""
UPLOADS = ("/api/pictures", "/api/masks")
"""Paths that accept files."""


class Strict(BaseModel):
    """The body of a request; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Prompt(Strict):
    """Clicks, a box, or both; or a mask file."""

    points: list[tuple[float, float, Literal[0, 1]]] = Field(default=[], max_length=100)
    box: tuple[float, float, float, float] | None = None
    mask: str | None = None
    """Id of an uploaded mask."""


class MaskBody(Strict):
    """A trial click."""

    picture: str
    bundle: str = "mini"
    prompt: Prompt


class RunBody(Strict):
    """A run to compute."""

    method: str
    bundle: str = "mini"
    files: dict[str, str]
    """Name of the file → id of a picture."""
    settings: dict[str, Any] = {}
    """Dotted parameter → value."""


class JobBody(RunBody):
    """A run to compute, in place of an earlier job if one is named."""

    replaces: str | None = None


class BatchBody(Strict):
    """A table of rows to compute."""

    name: str = Field(max_length=200)
    csv: str
    folder: str | None = None
    """Folder of the pictures on this machine."""
    method: str
    bundle: str = "mini"


class StarBody(Strict):
    """Whether a run is starred."""

    starred: bool


class PickBody(Strict):
    """A candidate, counted from 1."""

    candidate: int = Field(ge=1)


class FetchBody(Strict):
    """Options of a download."""

    trust: bool = False
    """Also fetch files without a published digest; their digests are recorded."""


class Studio:
    """The state that all HTTP requests share.

    Args:
        session: computes the jobs.
        scenes: the examples by name.
        access: the access rules.
        bundle: the bundle that is selected first.
        workers: processes that compute one job each at a time; without workers, this process does.
    """

    def __init__(
        self,
        session: Session,
        scenes: Mapping[str, Scene],
        access: Access,
        *,
        bundle: str = "mini",
        workers: Sequence[Worker] = (),
    ) -> None:
        self.session = session
        self.scenes = scenes
        self.access = access
        self.bundle = bundle
        self.people = People(scenes)
        self.workers = workers
        self.desk = Desk([session.with_runner(WorkerRunner(one)) for one in workers] or [session])
        self.downloads = Desk([session])
        self.stars = Stars(session.out_root / "stars.json")
        self.trial_s: dict[str, float] = {}
        """Stage → seconds that it last took for a trial click or feedback."""
        self.trial_lock = threading.Lock()
        """Trial clicks, feedback and reports run one at a time."""

    def on_trial(self, event: Event) -> None:
        """Records how long a stage took."""
        if event.entry is not None and event.entry.status == "computed":
            self.trial_s[event.stage] = event.entry.seconds

    def close(self) -> None:
        """Stops jobs between two stages, and deletes uploads."""
        self.desk.close()
        self.downloads.close(timeout_s=CLOSE_DOWNLOADS_S)
        for worker in self.workers:
            worker.close()
        self.people.close()

    def example_request(self) -> Request:
        """The request for the first example, by the published method with its defaults."""
        scene = next(iter(self.scenes.values()))
        settings = {**scene.clicks, "bundle": self.bundle}
        return self.session.request("manipulate", [scene.original, scene.edited], settings, source="studio")

    def start_workers(self) -> None:
        """Starts the workers in the background, and imports what the first click needs."""

        def start() -> None:
            for worker in self.workers:
                with suppress(SvdAudioError):  # the worker's first job tries again, and reports the error
                    worker.start()
            with suppress(SvdAudioError):
                _ = getattr(self.session.models(self.example_request()), "device", None)

        if self.workers:
            threading.Thread(target=start, name="studio workers", daemon=True).start()

    def warm_up(self) -> None:
        """Computes the example, so that its sounds exist and models are loaded when a user begins."""
        request = self.example_request()
        self.desk.submit("", request.kind, run_work(request, self.desk), {})

    def start(self, person: Person) -> dict[str, Any]:
        """The start data of the page: tabs, bundles, examples, and the person's jobs, which a reload follows again."""
        example = self.example_request()
        return {
            "tabs": [describe(method) for method in tabs()],
            "bundles": all_bundles(self.session, self.bundle),
            "bundle": self.bundle,
            "examples": [
                {
                    "name": name,
                    "files": {
                        side: self.people.examples[f"{name}-{side}"].picture_facts() for side in ("original", "edited")
                    },
                    "regions": {
                        "remove": [[*point, 1] for point in scene.remove],
                        "add": [[*point, 1] for point in scene.add],
                    },
                    "objects": {name: [[*point, 1]] for name, point in zip(scene.removed, scene.remove, strict=True)},
                }
                for name, scene in self.scenes.items()
            ],
            "example_run": answers.run_of_files(self.session, example),
            "device": self.device(example),
            "person": person.id[:6],
            "jobs": [self.desk.facts(job) for job in self.desk.of(person.id)],
            "n_waiting": self.desk.n_waiting(),
            "max_upload_bytes": MAX_UPLOAD_BYTES,
        }

    def device(self, request: Request) -> str | None:
        """The device of a request's models; None before torch is imported, which takes seconds."""
        models = self.session.models(request)
        return str(getattr(models, "device", "cpu")) if "torch" in sys.modules else None

    def job(self, person: Person, job: str) -> tuple[Desk, Job]:
        """Returns a job of a person, or a download, and its queue.

        Raises:
            InputError: the id is unknown.
        """
        if any(one.id == job for one in self.downloads.of(ALL_PEOPLE)):
            return self.downloads, self.downloads.find(ALL_PEOPLE, job)
        return self.desk, self.desk.find(person.id, job)

    def download(self) -> Job | None:
        """The download that waits or runs, or else the last one."""
        jobs = self.downloads.of(ALL_PEOPLE)
        return next((one for one in reversed(jobs) if not one.is_over), next(iter(jobs), None))

    def fetch(self, bundle: str, *, trust: bool) -> Job:
        """Starts the download of a bundle's missing models, unless it is already running.

        Raises:
            CheckpointError: the bundle does not exist, or nothing can be downloaded.
        """
        if bundle != FULL:
            self.session.bundle(bundle)
        for job in self.downloads.of(ALL_PEOPLE):
            if not job.is_over and job.ask["bundle"] == bundle:
                return job
        work = fetch_work(bundle, downloadable_models(bundle, trust=trust), trust=trust)
        return self.downloads.submit(ALL_PEOPLE, "fetch", work, {"bundle": bundle, "trust": trust})

    def request(self, person: Person, body: RunBody) -> Request:
        """Converts the body of an HTTP request to a request.

        Raises:
            SvdAudioError: it is invalid.
        """
        method = find_method(body.method)
        if method not in tabs():
            raise ConfigError("the studio has no tab for this method", got=body.method)
        files = {name: self.people.picture(person, picture).path for name, picture in body.files.items()}
        if missing := [name for name in method.files if name not in files]:
            raise InputError(f"the picture '{missing[0]}' is missing", fix="drop a picture, or choose the example")
        settings = with_masks(body.settings, method.config.parameters(), person)
        return self.session.request(method, files, {"bundle": body.bundle, **settings}, source="studio")

    def batch(self, person: Person, body: BatchBody) -> Batch:
        """Opens the batch of a table, whose pictures are in a folder on this machine or were uploaded by name.

        Raises:
            SvdAudioError: a row is invalid, or a folder is named in a studio with a password.
        """
        method = find_method(body.method)
        place = Path(tempfile.mkdtemp(dir=person.folder))
        if body.folder is not None:
            if self.access.password is not None:
                raise InputError("folders are not available in a studio with a password", fix="upload the pictures")
            folder = Path(body.folder)
            if not folder.is_dir():
                raise InputError(f"folder not found: {body.folder}")
        else:
            for picture in (*self.people.examples.values(), *person.pictures.values()):
                (place / picture.name).unlink(missing_ok=True)
                (place / picture.name).symlink_to(picture.path.absolute())
            folder = place
        table = place / "rows.csv"
        table.write_text(body.csv, encoding="utf-8")
        rows = read_rows(table, method, folder=folder)
        for row in rows:
            check_no_files(row.parameters, method.config.parameters())
            if row.out is not None:
                raise InputError(
                    f"{row.where}: the column 'out' is not available in the studio", fix="remove the column"
                )
            if body.folder is None and any(path.parent != place or not path.exists() for path in row.files.values()):
                raise InputError(f"{row.where}: a picture was not uploaded", fix="drop it together with the table")
        common = Common(given={"bundle": body.bundle})
        return self.session.open_batch(
            prepare(self.session, rows, method, common), files={"pairs": table}, title=f"{body.name}, {len(rows)} rows"
        )


def create_app(studio: Studio) -> FastAPI:
    """Creates the application of a studio."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield
        await asyncio.to_thread(studio.close)

    # FastAPI's documentation pages would load scripts from elsewhere.
    app = FastAPI(title="svdaudio studio", lifespan=lifespan, docs_url=None, redoc_url=None)
    _guard(app, studio)
    _pages(app, studio)
    _immediate(app, studio)
    _queued(app, studio)
    _bundles(app, studio)
    _runs(app, studio)
    return app


def _person(call: Call) -> Person:
    return call.state.person


def _guard(app: FastAPI, studio: Studio) -> None:
    """Checks access and sizes, and sets cookies, headers and error responses, for every request."""

    @app.middleware("http")
    async def guard(call: Call, call_next: Any) -> Response:
        host = call.headers.get("host", "")
        path = call.url.path
        if not studio.access.accepts_host(host):
            return _error(400, f"unknown host name: {host[:80]}")
        if call.method == "POST" and not studio.access.is_same_origin(call.headers.get("origin"), host):
            return _error(403, "this request does not come from the studio's page")
        if not studio.access.is_signed_in(call.cookies.get(TOKEN)) and path not in (
            "/login",
            "/static/studio.css",
            "/static/page.css",
        ):
            return _error(401, "sign in") if path.startswith("/api/") else RedirectResponse("/login")
        limit = MAX_UPLOAD_BYTES if path in UPLOADS else MAX_BODY_BYTES
        length = call.headers.get("content-length", "0" if call.method == "GET" else "")
        if not length.isdigit():
            return _error(411, "the length of the body is missing")
        if int(length) > limit:
            return _error(413, f"the request is too large: expected at most {limit} bytes, got {length}.")
        call.state.person = studio.people.person(call.cookies.get(PERSON))
        response: Response = await call_next(call)
        if call.cookies.get(PERSON) != call.state.person.id:
            response.set_cookie(PERSON, call.state.person.id, httponly=True, samesite="strict")
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        if path.startswith(("/api/", "/login")) or path == "/":
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    @app.exception_handler(SvdAudioError)
    async def refuse(call: Call, error: SvdAudioError) -> Response:
        del call
        status = 404 if isinstance(error, RunError) else 409 if isinstance(error, CheckpointError) else 400
        return JSONResponse({"error": without_folders(error.line()), "field": field_of(error)}, status)


def _error(status: int, text: str) -> Response:
    return JSONResponse({"error": text, "field": None}, status)


def field_of(error: SvdAudioError) -> str | None:
    """The parameter or file that the text of an error names, or None."""
    line = f" {error.line()} ".replace("'", " ").replace('"', " ").replace(":", " ").replace(",", " ")
    names = {name for method in tabs() for name in (*method.config.parameters(), *method.files)}
    found = [name for name in names if f" {name} " in line]
    return max(found, key=len) if found else None


def _pages(app: FastAPI, studio: Studio) -> None:
    @app.get("/")
    def index() -> Response:
        return FileResponse(HERE / "index.html", media_type="text/html")

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        path = (render.STATIC if name in SHARED else HERE) / name
        if Path(name).name != name or path.suffix not in TYPES or not path.is_file():
            return _error(404, "file not found")
        return FileResponse(path, media_type=TYPES[path.suffix])

    @app.get("/login")
    def login() -> Response:
        return HTMLResponse(
            render.render("login.html.j2", styles=("page.css",), title="svdaudio studio", failed=False),
            headers={"Content-Security-Policy": POLICY},
        )

    @app.post("/login")
    async def sign_in(call: Call) -> Response:
        [given] = parse_qs((await call.body()).decode(errors="replace")).get("password", [""])[:1]
        token = studio.access.sign_in(given)
        if token is None:
            await asyncio.sleep(1)  # slows down guessing
            page = render.render("login.html.j2", styles=("page.css",), title="svdaudio studio", failed=True)
            return HTMLResponse(page, 401)
        response = RedirectResponse("/", 303)
        response.set_cookie(TOKEN, token, httponly=True, samesite="strict")
        return response


def _immediate(app: FastAPI, studio: Studio) -> None:
    """What is answered immediately: pictures, trial clicks, plans, feedback."""
    session, people = studio.session, studio.people

    @app.get("/api/start")
    def start(call: Call) -> dict[str, Any]:
        return studio.start(_person(call))

    @app.post("/api/pictures")
    async def upload(call: Call) -> dict[str, object]:
        name = unquote(call.headers.get("x-name", "picture.png"))
        data = await call.body()
        return (await asyncio.to_thread(add_picture, _person(call), name, data)).picture_facts()

    @app.get("/api/pictures/{picture}")
    def picture(call: Call, picture: str) -> Response:
        data = people.picture(_person(call), picture).path.read_bytes()
        kinds = (kind for magic, kind in PICTURE_TYPES.items() if data.startswith(magic))
        kind = next(kinds, "application/octet-stream")
        return Response(data, media_type=kind, headers={"Cache-Control": "private, max-age=3600"})

    @app.post("/api/masks")
    async def upload_mask(call: Call, picture: str) -> dict[str, object]:
        person, name = _person(call), unquote(call.headers.get("x-name", "mask.png"))
        whole = people.picture(person, picture)
        return (await asyncio.to_thread(add_mask, person, name, await call.body(), whole)).facts()

    @app.post("/api/mask")
    def mask(call: Call, body: MaskBody) -> dict[str, Any]:
        begun = time.perf_counter()
        person = _person(call)
        path = people.picture(person, body.picture).path
        prompt = body.prompt.model_dump(exclude_defaults=True)
        if body.prompt.mask is not None:
            prompt["mask"] = str(person.mask(body.prompt.mask).path)
        request = session.request("mask", [path], {"bundle": body.bundle, "point": {"object": prompt}}, source="studio")
        with studio.trial_lock:
            found = session.arrays(session.run(request, record=False, progress=studio.on_trial).run)["object.mask"]
        return {
            "path": outline_path(found["mask"].astype(bool)),
            "score": round(float(found["score"]), 4) if "score" in found else None,
            "share": round(float(found["mask"].mean()), 6),
            "seconds": round(time.perf_counter() - begun, 4),
        }

    @app.post("/api/plan")
    def plan(call: Call, body: RunBody) -> dict[str, Any]:
        request = studio.request(_person(call), body)
        return {**answers.plan(session, request, studio.trial_s), "device": studio.device(request)}

    @app.post("/api/feedback")
    def feedback(call: Call, body: RunBody) -> dict[str, Any]:
        request = studio.request(_person(call), body)
        with studio.trial_lock:
            return answers.feedback(session, request, studio.on_trial)


def _queued(app: FastAPI, studio: Studio) -> None:
    """What is queued: runs and batches."""
    desk = studio.desk

    @app.post("/api/jobs")
    def submit(call: Call, body: JobBody) -> dict[str, Any]:
        person = _person(call)
        request = studio.request(person, body)
        kept = body.model_dump(exclude={"replaces"})
        work = run_work(request, desk)
        return desk.facts(desk.submit(person.id, request.kind, work, kept, replaces=body.replaces))

    @app.post("/api/batch")
    def batch(call: Call, body: BatchBody) -> dict[str, Any]:
        opened = studio.batch(_person(call), body)
        kept = {"method": body.method, "bundle": body.bundle, "files": {}, "settings": {}, "batch": body.name}
        job = desk.submit(_person(call).id, body.method, batch_work(opened, desk), kept)
        rows = [{"name": one.name, "state": "queued", "error": None} for one in opened.jobs]
        return {**desk.facts(job), "rows": rows}

    @app.get("/api/jobs/{job}/table.csv")
    def table(call: Call, job: str) -> Response:
        found = desk.find(_person(call).id, job)
        if found.table is None:
            raise InputError("the table is not written yet", fix="wait until the batch has finished")
        headers = {"Content-Disposition": 'attachment; filename="table.csv"'}
        return Response(found.table.read_bytes(), media_type="text/csv", headers=headers)

    @app.post("/api/jobs/{job}/stop")
    def stop(call: Call, job: str) -> dict[str, Any]:
        whose, found = studio.job(_person(call), job)
        whose.stop(found)
        return whose.facts(found)

    @app.get("/api/jobs/{job}/events")
    def events(call: Call, job: str) -> Response:
        _, found = studio.job(_person(call), job)
        return StreamingResponse(_stream(call, found), media_type="text/event-stream")


def _bundles(app: FastAPI, studio: Studio) -> None:
    """Bundles, and downloads of missing models."""

    @app.get("/api/bundles")
    def bundles() -> dict[str, Any]:
        job = studio.download()
        return {
            "bundles": all_bundles(studio.session, studio.bundle),
            "job": None if job is None else studio.downloads.facts(job),
        }

    @app.post("/api/bundles/{name}/fetch")
    def fetch(name: str, body: FetchBody) -> dict[str, Any]:
        return studio.downloads.facts(studio.fetch(name, trust=body.trust))


async def _stream(call: Call, job: Job) -> AsyncIterator[str]:
    """Streams all events of a job until it ends or the page disconnects."""
    n_sent, silent_s = 0, 0.0
    while True:
        over = job.is_over
        for name, data in job.events[n_sent:]:
            yield f"event: {name}\ndata: {json.dumps(data)}\n\n"
            n_sent, silent_s = n_sent + 1, 0.0
        if over and n_sent == len(job.events):
            return
        if await call.is_disconnected():
            return
        if silent_s > KEEP_ALIVE_S:
            yield ": alive\n\n"
            silent_s = 0.0
        await asyncio.sleep(POLL_S)
        silent_s += POLL_S


def _runs(app: FastAPI, studio: Studio) -> None:
    session = studio.session

    @app.get("/api/history")
    def history(search: str = "", starred: bool = False, limit: int = 50) -> dict[str, Any]:
        kinds = [method.name for method in tabs()]
        found = answers.history(session, kinds, studio.stars.all(), search=search, limit=min(max(limit, 1), 500))
        return {"runs": [run for run in found if run["starred"] or not starred]}

    @app.get("/api/runs/{run}")
    def run(run: str) -> dict[str, Any]:
        found = answers.require_finished(session.load(run))
        with studio.trial_lock:
            facts = answers.run_facts(session, found, starred=found.id in studio.stars.all())
        return {**facts, "command": without_folders(facts["command"])}

    @app.post("/api/runs/{run}/star")
    def star(run: str, body: StarBody) -> dict[str, Any]:
        found = session.load(run)
        studio.stars.set(found.id, starred=body.starred)
        return answers.summary(session, found, starred=body.starred)

    @app.post("/api/runs/{run}/pick")
    def pick(call: Call, run: str, body: PickBody) -> dict[str, Any]:
        found = session.load(run)
        request = session.request_like(found, {"generate.pick": body.candidate}, source="studio")
        kept = {"method": found.kind, "bundle": found.bundle, "files": {}, "settings": {}}
        work = run_work(request, studio.desk)
        return studio.desk.facts(studio.desk.submit(_person(call).id, found.kind, work, kept))

    @app.post("/api/runs/{run}/resume")
    def resume(call: Call, run: str) -> dict[str, Any]:
        found = session.load(run)
        session.method_of(found)  # raises for a batch
        kept = {"method": found.kind, "bundle": found.bundle, "files": {}, "settings": {}}
        work = resume_work(found, studio.desk)
        return studio.desk.facts(studio.desk.submit(_person(call).id, found.kind, work, kept))

    @app.get("/api/runs/{run}/sounds/{name}")
    def sound(run: str, name: str) -> Response:
        found = session.load(run)
        stem, _, suffix = name.rpartition(".")
        if f".{suffix}" not in FORMATS:
            raise InputError("unknown format", expected=" or ".join(FORMATS), got=suffix[:10])
        data = session.sound(found, stem, f".{suffix}")
        headers = {"Content-Disposition": f'attachment; filename="{stem}.{suffix}"'}
        return Response(data, media_type="application/octet-stream", headers=headers)

    @app.get("/api/runs/{run}/report")
    def report(run: str) -> Response:
        with studio.trial_lock:
            page = session.write_page([session.load(run)])
        text = without_folders(page.read_text(encoding="utf-8"))
        policy = text.partition('Content-Security-Policy" content="')[2].partition('"')[0].replace("&#39;", "'")
        return HTMLResponse(text, headers={"Content-Security-Policy": policy})

    @app.get("/api/runs/{run}/config.toml")
    def config(run: str) -> Response:
        found = session.load(run)
        return Response(
            without_folders(toml_of(found.config)),
            media_type="application/toml",
            headers={"Content-Disposition": 'attachment; filename="config.toml"'},
        )
