"""The runner that sends runs to the resident process, and computes them here if that is not possible."""

from __future__ import annotations

import logging
from pathlib import Path

from svdaudio.engine.journal import Progress, no_progress
from svdaudio.engine.run import RunWork, Stopping, never_stop
from svdaudio.resident.client import GoneError, ask
from svdaudio.resident.messages import ReportWork
from svdaudio.resident.place import Resident
from svdaudio.session import Runner
from svdaudio.store.runs import RunRecord
from svdaudio.views.report import Report

log = logging.getLogger(__name__)


def _warn_of_others(n_before: int) -> None:
    log.warning("the resident process is busy: requests ahead of this one: %d", n_before)


class ResidentRunner(Runner):
    """Sends runs to the resident process; batches are computed here.

    Args:
        resident: the process.
    """

    name = "resident"

    def __init__(self, resident: Resident) -> None:
        self._resident = resident

    def execute(self, work: RunWork, progress: Progress, stopping: Stopping) -> RunRecord:
        """Execute every node of a run; see `svdaudio.engine.run.execute_run`.

        If the resident process dies, this process continues the run: finished stages are in the store.
        """
        try:
            return ask(self._resident, work, progress, stopping, waiting=_warn_of_others)
        except GoneError as error:
            log.warning("the resident process %s: the run continues without it", error)
        return super().execute(work, progress, stopping)

    def report(self, work: RunWork, *, root: Path, pictures: bool) -> Report:
        """Write the files of a finished run; see `svdaudio.views.outputs.report_of`."""
        files = ReportWork(run=work, root=root, pictures=pictures)
        try:
            return ask(self._resident, files, no_progress, never_stop, waiting=_warn_of_others)
        except GoneError:
            return super().report(work, root=root, pictures=pictures)
