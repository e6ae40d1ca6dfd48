"""Measure the studio: click to mask, slider to embedding feedback, alpha to new sound, two people, two workers.

    python bench/studio.py

The server and the mini bundle run in this process, as for one user; requests go through HTTP. The first of each kind
loads models and is excluded. Alpha to new sound is compared with the command as a separate process, two people with one
sound each with one person, and the same with two workers with this process in turns.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from statistics import median

import httpx
from clock import seconds

from svdaudio.session import Session
from svdaudio.studies.scenes import demo_scene
from svdaudio.studio.access import access_for
from svdaudio.studio.app import Studio
from svdaudio.studio.serve import open_studio, serve

FILES = {"original": "farm-original", "edited": "farm-edited"}
REGIONS = {"remove": [[756, 581, 1]], "add": [[756, 570, 1]]}


def ask(**settings: object) -> dict[str, object]:
    """The page's request for an edit of the example, with one candidate for each sound."""
    return {"method": "manipulate", "files": FILES, "settings": {**REGIONS, "generate.candidates": 1, **settings}}


def sound(page: httpx.Client, **settings: object) -> None:
    """From a request to its finished sound."""
    job = page.post("/api/jobs", json=ask(**settings)).raise_for_status().json()
    with page.stream("GET", f"/api/jobs/{job['id']}/events", timeout=None) as response:
        events = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: ")]
    assert events[-1]["state"] == "finished", events[-1]


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--clicks", type=int, default=20)
    options.add_argument("--repeats", type=int, default=3)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        store = Path(temporary) / "store"
        address = serving(open_studio(Session(store), access_for("127.0.0.1", None)))
        people = [httpx.Client(base_url=address, timeout=300) for _ in range(2)]
        page = people[0]
        sound(page)
        times = [seconds(lambda at=at: click(page, 700 + 5 * at)) for at in range(given.clicks + 1)][1:]
        print(f"click to mask: median {median(times):.3f} s of {given.clicks} clicks (goal 0.3)")
        times = [
            seconds(
                lambda at=at: page.post("/api/feedback", json=ask(**{"svd.alpha": 0.2 + at / 100})).raise_for_status()
            )
            for at in range(given.clicks + 1)
        ][1:]
        print(f"slider to embedding feedback: median {median(times):.3f} s of {given.clicks} moves")
        times = [seconds(lambda at=at: sound(page, **{"svd.alpha": 0.6 + at / 100})) for at in range(given.repeats)]
        in_studio = median(times)
        scene = demo_scene().arguments
        settings = ["--set", "generate.candidates=1"]
        program = [sys.executable, "-m", "svdaudio.cli", "run", *scene, *settings, "--store", str(store)]
        program += ["--runner", "in-process", "--set"]
        times = [
            seconds(
                lambda at=at: subprocess.run([*program, f"svd.alpha={0.7 + at / 100}"], check=True, capture_output=True)
            )
            for at in range(given.repeats)
        ]
        print(f"alpha to new sound: {in_studio:.2f} s, {in_studio / median(times):.2f} of a command as a process")

        together = median(seconds(lambda at=at: both(people, 0.8 + 2 * at / 100)) for at in range(given.repeats))
        print(f"two people, a sound each: {together / in_studio:.2f} times one person's")
        studio = open_studio(Session(store), access_for("127.0.0.1", None), n_workers=2)
        address = serving(studio)
        people = [httpx.Client(base_url=address, timeout=300) for _ in range(2)]
        both(people, 0.1)  # each worker loads its models
        both(people, 0.12)
        side_by_side = median(seconds(lambda at=at: both(people, 1.0 + 2 * at / 100)) for at in range(given.repeats))
        print(f"the same with two workers: {side_by_side / together:.2f} of one process in turns")
        studio.close()


def serving(studio: Studio) -> str:
    """Serve a studio in a thread of this process; return the address of its page."""
    address: list[str] = []
    arrived = threading.Event()

    def ready(url: str) -> None:
        address.append(url)
        arrived.set()

    threading.Thread(
        target=serve, args=(studio,), kwargs={"host": "127.0.0.1", "port": 0, "ready": ready}, daemon=True
    ).start()
    arrived.wait()
    return address[0]


def both(people: list[httpx.Client], alpha: float) -> None:
    """A sound for each of two people at once."""
    jobs = [
        threading.Thread(target=sound, args=(one,), kwargs={"svd.alpha": alpha + place / 100})
        for place, one in enumerate(people)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()


def click(page: httpx.Client, x: int) -> None:
    """From a click to its mask."""
    body = {"picture": "farm-original", "prompt": {"points": [[x, 581, 1]]}}
    page.post("/api/mask", json=body).raise_for_status()


if __name__ == "__main__":
    main()
