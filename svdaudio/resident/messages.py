"""The messages between commands and the resident process; all of them are picklable.

A command sends the pickled work (`RunWork`, `BatchWork` or `ReportWork`) and perhaps `STOP`; the process answers with
`Waiting`, the events of the work, and at the end `Done`, `Failed` or `Refused`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svdaudio.engine.batch import BatchWork
from svdaudio.engine.body import ModelSource
from svdaudio.engine.run import RunWork


@dataclass(frozen=True, kw_only=True)
class ReportWork:
    """A finished run whose files are to be written; see `svdaudio.views.outputs.report_of`."""

    run: RunWork
    root: Path
    pictures: bool

    @property
    def models(self) -> ModelSource:
        """The models of the run."""
        return self.run.models


Work = RunWork | BatchWork | ReportWork


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Other requests are served first."""

    n_before: int


@dataclass(frozen=True, kw_only=True)
class Done:
    """The result."""

    value: Any


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The error of a stage or of the request; it is also in the record of the run."""

    error: Exception


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The resident process cannot read this request; nothing was computed."""

    why: str


STOP = "stop"
"""Sent by a command that was interrupted: the run or batch ends before the next stage."""
