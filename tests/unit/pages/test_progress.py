"""Progress in a notebook: the text of the line, when it is replaced, and that nothing is shown elsewhere."""

from __future__ import annotations

import subprocess
import sys
from itertools import count
from types import SimpleNamespace

import pytest

from svdaudio.engine.journal import Event, no_progress
from svdaudio.pages import kernel, progress
from svdaudio.store import StageEntry


def event(kind, node="mix", *, n_done, status=None, text="", n_total=4):
    entry = None if status is None else StageEntry(node=node, stage=node, status=status)
    return Event(kind=kind, node=node, stage=node, text=text, entry=entry, n_done=n_done, n_total=n_total)


@pytest.fixture
def shown():
    return []


def line(shown, ticks):
    return progress.StageLine(shown.append, clock=lambda: next(ticks))


def test_the_line_names_the_current_stage_and_ends_with_counts(shown):
    on_event = line(shown, count(0, 1))
    on_event(event("finished", "image", n_done=1, status="cached"))
    on_event(event("started", "mix", n_done=1))
    on_event(event("finished", "mix", n_done=2, status="computed"))
    on_event(event("waiting", "scores", n_done=2, text="waits for another process"))
    on_event(event("finished", "scores", n_done=3, status="computed", n_total=3))
    assert [one["text/plain"] for one in shown] == [
        "1/4 image",
        "1/4 mix",
        "2/4 mix",
        "2/4 scores: waits for another process",
        "3/3 stages: 1 cached, 2 computed; 6.0 s",
    ]
    assert shown[-1]["text/html"].startswith('<progress max="3" value="3"')


def test_rapid_cache_hits_are_shown_once_and_the_last_always(shown):
    on_event = line(shown, count(0, 0.01))
    for n_done in range(1, 5):
        on_event(event("finished", f"node {n_done}", n_done=n_done, status="cached"))
    assert [one["text/plain"].partition(";")[0] for one in shown] == ["1/4 node 1", "4/4 stages: 4 cached"]


def test_a_failure_stays_visible(shown):
    on_event = line(shown, count(0, 1))
    on_event(event("failed", "mix", n_done=1, status="failed"))
    on_event(event("skipped", "scores", n_done=2, status="skipped"))
    assert [one["text/plain"] for one in shown] == ["1/4 mix failed"]


def test_names_are_escaped(shown):
    line(shown, count(0, 1))(event("started", "<b>", n_done=0))
    assert "&lt;b&gt;" in shown[0]["text/html"]


def in_kernel(monkeypatch, shell):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))


def test_a_kernel_displays_a_line_and_replaces_it(monkeypatch):
    displayed = []

    def display(content, **how):
        displayed.append(("display", content["text/plain"], how))
        return SimpleNamespace(update=lambda content, **how: displayed.append(("update", content["text/plain"], how)))

    in_kernel(monkeypatch, SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    on_event = progress.default_progress()
    on_event(event("started", "mix", n_done=0))
    on_event(event("started", "scores", n_done=1))
    assert displayed == [
        ("display", "0/4 mix", {"raw": True, "display_id": True}),
        ("update", "1/4 scores", {"raw": True}),
    ]


@pytest.mark.parametrize("shell", [None, SimpleNamespace()], ids=["python", "a terminal's IPython"])
def test_nothing_is_shown_outside_of_notebooks(monkeypatch, shell):
    in_kernel(monkeypatch, shell)
    assert progress.default_progress() is no_progress
    kernel.quiet_tqdm()


def test_ipython_and_jinja_are_imported_only_when_needed():
    code = "import sys, svdaudio.session; print([m for m in ('IPython', 'jinja2', 'tqdm') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
