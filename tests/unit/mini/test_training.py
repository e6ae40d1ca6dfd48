"""Concurrent trainings: their order, and what a failure does to the others."""

from __future__ import annotations

import subprocess

import pytest

from svdaudio.errors import RunError
from svdaudio.mini import training
from svdaudio.mini.catalogue import NEEDS
from svdaudio.mini.training import Event, train_together
from svdaudio.processes import python_command


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(training, "POLL_S", 0.01)


def python(code):
    return subprocess.Popen(python_command("-c", code))


@pytest.mark.parametrize("n_workers", [1, 2, 9])
def test_each_training_starts_after_those_that_it_needs(n_workers):
    events: list[Event] = []
    train_together(NEEDS, lambda name: python(f"print({name!r})"), n_workers=n_workers, on_event=events.append)
    begun = [one.name for one in events if one.seconds is None]
    ended = {one.name: place for place, one in enumerate(events) if one.seconds is not None}
    assert sorted(begun) == sorted(ended) == sorted(NEEDS)
    running = most = 0
    for place, one in enumerate(events):
        running += 1 if one.seconds is None else -1
        most = max(most, running)
        if one.seconds is None:
            assert all(ended[needed] < place for needed in NEEDS[one.name])
    assert most <= n_workers


def test_a_failed_training_interrupts_the_others(tmp_path):
    ready, interrupted = tmp_path / "ready", tmp_path / "interrupted"
    patient = (
        "import time, pathlib\n"
        f"try:\n    pathlib.Path({str(ready)!r}).touch(); time.sleep(60)\n"
        f"except KeyboardInterrupt:\n    pathlib.Path({str(interrupted)!r}).touch()\n"
    )
    bad = (
        f"import time, pathlib\nwhile not pathlib.Path({str(ready)!r}).exists(): time.sleep(0.05)\nraise SystemExit(3)"
    )
    programs = {"bad": bad, "patient": patient}
    needs = {"bad": (), "patient": (), "never": ("bad",)}
    with pytest.raises(RunError, match=r"the training of bad failed: got exit status 3"):
        train_together(needs, lambda name: python(programs[name]), n_workers=2, on_event=lambda event: None)
    assert interrupted.is_file()
