"""The progress of a run in a notebook: one line with a progress bar, which every event replaces.

    session.run(request, progress=notebook_progress())

This is the default in a notebook. The line is plain HTML that Jupyter replaces by its display id, so that no widgets
are needed and a saved notebook keeps the last line.
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
"""Least time between two updates by finished nodes; a node that is found in the store takes only milliseconds."""

Show = Callable[[Mapping[str, str]], None]
"""Shows or replaces a notebook's output, given as MIME type → content."""


def default_progress() -> Progress:
    """A progress line in a notebook; elsewhere, none."""
    return notebook_progress() if in_notebook() else no_progress


def notebook_progress() -> Progress:
    """A progress line for one run, below the current cell of a notebook."""
    return StageLine(_display())


class StageLine:
    """Turns the events of one run into a line with a progress bar.

    Args:
        show: displays the line.
        clock: returns monotonic seconds.
    """

    def __init__(self, show: Show, clock: Callable[[], float] = time.monotonic) -> None:
        self._show = show
        self._clock = clock
        self._begun = clock()
        self._shown_at: float | None = None
        self._counts: Counter[str] = Counter()
        self._failed = False

    def __call__(self, event: Event) -> None:
        """Show an event; skip a finished node if the line was just updated."""
        if event.entry is not None:
            self._counts[event.entry.status] += 1
        if self._failed or event.kind in ("note", "skipped"):  # a failure stays visible; the result shows the notes
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
    """Returns a function that displays its first content and then replaces it."""
    display = import_module("IPython.display").display
    handle: Any = None

    def show(content: Mapping[str, str]) -> None:
        nonlocal handle
        if handle is None:
            handle = display(dict(content), raw=True, display_id=True)
        else:
            handle.update(dict(content), raw=True)

    return show
