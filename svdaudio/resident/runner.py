"""The runner that hands stages to the resident process, and computes them itself where that cannot take them."""

from __future__ import annotations

import logging
from pathlib import Path

from svdaudio.engine.body import ModelSource
from svdaudio.engine.journal import Progress, no_progress
from svdaudio.engine.request import Request
from svdaudio.engine.run import Stopping, never
from svdaudio.resident.client import GoneError, ask
from svdaudio.resident.messages import Ask, AskReport
from svdaudio.resident.place import Resident
from svdaudio.session import InProcess
from svdaudio.store.base import Store
from svdaudio.store.runs import RunRecord
from svdaudio.views.report import Report

log = logging.getLogger(__name__)


def _warn_of_others(n_before: int) -> None:
    log.warning("the resident process serves %d others first", n_before)


class ResidentRunner(InProcess):
    """Hands the stages of runs to the resident process; batches are computed here.

    Args:
        resident: that process.
    """

    name = "resident"

    def __init__(self, resident: Resident) -> None:
        self._resident = resident

    def execute(
        self,
        request: Request,
        store: Store,
        models: ModelSource,
        *,
        run: RunRecord,
        progress: Progress,
        stopping: Stopping,
        record: bool,
    ) -> RunRecord:
        """Execute every node of a request; see `svdaudio.engine.run.execute_run`.

        If the resident process dies, this one goes on: what was computed is in the store.
        """
        asked = Ask(request=request, location=store.location, models=models, run=run, record=record)
        try:
            return ask(self._resident, asked, progress, stopping, waiting=_warn_of_others)
        except GoneError as error:
            log.warning("the resident process %s: the run goes on without it", error)
        return super().execute(request, store, models, run=run, progress=progress, stopping=stopping, record=record)

    def report(
        self, request: Request, store: Store, models: ModelSource, run: RunRecord, *, root: Path, pictures: bool
    ) -> Report:
        """Write the files of a finished run; see `svdaudio.views.outputs.report_of`."""
        asked = AskReport(
            request=request, location=store.location, models=models, run=run, root=str(root), pictures=pictures
        )
        try:
            return ask(self._resident, asked, no_progress, never, waiting=_warn_of_others)
        except GoneError:
            return super().report(request, store, models, run, root=root, pictures=pictures)
