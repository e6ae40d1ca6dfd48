"""What commands and the resident process say to each other; all of it is picklable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from svdaudio.engine.batch import OutputWriter
from svdaudio.engine.batches import Job, OnError
from svdaudio.engine.body import ModelSource
from svdaudio.engine.request import Request
from svdaudio.store.runs import RunRecord


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A request to compute."""

    request: Request
    location: str
    """Of the store."""
    models: ModelSource
    run: RunRecord
    record: bool


@dataclass(frozen=True, kw_only=True)
class AskReport:
    """A request to write the files of a run."""

    request: Request
    location: str
    models: ModelSource
    run: RunRecord
    root: str
    pictures: bool


@dataclass(frozen=True, kw_only=True)
class AskBatch:
    """A request to compute jobs of a batch."""

    jobs: tuple[Job, ...]
    location: str
    models: ModelSource
    output: OutputWriter | None
    on_error: OnError


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Others are served first."""

    n_before: int


@dataclass(frozen=True, kw_only=True)
class Done:
    """What was asked for."""

    value: Any


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The error of a stage, or of the request; the record of the run says so, too."""

    error: Exception


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The resident process cannot take this request; nothing was computed."""

    why: str


STOP = "stop"
"""Sent by a command that was interrupted: the run or batch ends between two stages."""
