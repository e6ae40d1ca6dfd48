"""The progress of a run in a notebook: one line with a bar, which every event replaces.

    session.run(request, progress=notebook_progress())

A session does so by itself in a notebook. The line is plain HTML that Jupyter replaces by its display id: no widgets
are needed, and a saved notebook keeps the last one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from svdaudio.engine.journal import Event, Progress, no_progress
from svdaudio.pages.environment import environment
from svdaudio.pages.kernel import in_notebook

LEAST_PAUSE_S = 0.1
"""Between two replacements by finished nodes: nodes that are found in the store take milliseconds each."""

Show = Callable[[Mapping[str, str]], None]
"""Shows, or replaces, what a notebook displays: MIME type → content."""


def default_progress() -> Progress:
    """A line in a notebook; elsewhere, nothing."""
    return notebook_progress() if in_notebook() else no_progress


def notebook_progress() -> Progress:
    """Progress of one run as a line below the current cell of a notebook."""
    return StageLine(_display())


class StageLine:
    """Turns the events of one run into a line with a bar.

    Args:
        show: displays it.
        clock: seconds, increasing.
    """

    def __init__(self, show: Show, clock: Callable[[], float] = time.monotonic) -> None:
        self._show = show
        self._clock = clock
        self._begun = clock()
        self._shown_at: float | None = None
        self._counts: Counter[str] = Counter()
        self._failed = False

    def __call__(self, event: Event) -> None:
        """Show an event, unless the line was replaced only just now and nothing waits for it."""
        if event.entry is not None:
            self._counts[event.entry.status] += 1
        if self._failed or event.kind in ("note", "skipped"):  # a failure stays; notes are part of the result
            return
        self._failed = event.kind == "failed"
        now = self._clock()
        is_over = event.n_done == event.n_total
        if event.kind == "finished" and not is_over and now - (self._shown_at or -LEAST_PAUSE_S) < LEAST_PAUSE_S:
            return
        self._shown_at = now
        text = self._text(event, is_over=is_over)
        line = environment().get_template("progress.html.j2").render(event=event, text=text)
        self._show({"text/plain": f"{event.n_done}/{event.n_total} {text}", "text/html": line})

    def _text(self, event: Event, *, is_over: bool) -> str:
        if event.kind == "failed":
            return f"{event.node} failed"
        if event.kind == "waiting":
            return f"{event.node}: {event.text}"
        if not is_over:
            return event.node
        counts = ", ".join(f"{n} {status}" for status, n in self._counts.items())
        return f"stages: {counts}; {self._clock() - self._begun:.1f} s"


def _display() -> Show:
    """Displays once, then replaces what it displayed."""
    display = import_module("IPython.display").display
    handle: Any = None

    def show(content: Mapping[str, str]) -> None:
        nonlocal handle
        if handle is None:
            handle = display(dict(content), raw=True, display_id=True)
        else:
            handle.update(dict(content), raw=True)

    return show
