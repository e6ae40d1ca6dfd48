"""`svdaudio resume`: continue a run or a batch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from svdaudio.cli import ablate, batch, evaluate, options, sessions, study, zero_shot
from svdaudio.cli.grouped import grouped
from svdaudio.cli.run import print_result

if TYPE_CHECKING:
    from svdaudio.engine.batches import Batch
    from svdaudio.session import Session
    from svdaudio.store import RunRecord


class Finish(Protocol):
    """Completes a study after its resumed batch: writes its files and prints its figures."""

    def __call__(
        self, session: Session, opened: Batch, record: RunRecord, runs: Sequence[RunRecord], *, as_json: bool
    ) -> None:
        """Raise `typer.Exit` with 1 if a run of the study has no result."""
        ...


FINISHES: Mapping[str, Finish] = {
    "edits": evaluate.finish,
    "parameters": study.finish,
    "ablation": ablate.finish,
    "zero-shot": zero_shot.finish,
}
"""Kind of study, as recorded with its batches → the function that completes it."""
OLDEST_KIND = "edits"
"""The kind of studies whose records do not name one."""


@grouped
def resume(
    name: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="A run or a batch (default the newest unfinished one)."),
    ] = None,
    *,
    out: options.OutOptions,
    execution: options.Execution,
) -> None:
    """Continue a run or a batch that failed or was interrupted; finished stages are not recomputed."""
    from svdaudio.engine.batches import KIND
    from svdaudio.errors import InputError

    begun = time.perf_counter()
    sessions.check_sound_out(out)
    session = sessions.open_session(execution.store, execution.open_runner())
    record = session.find_unfinished(name)
    if record.kind == KIND:
        if execution.runner in ("dask", "ray"):
            raise InputError(
                f"--runner {execution.runner} does not apply to a batch", fix="give --runner prefect, or omit it"
            )
        if out.path is not None:
            raise InputError("--out does not apply to a batch", fix="omit it; each pair has its own 'out'")
        _resume_batch(session, record, as_json=execution.as_json)
        return
    with sessions.show_progress() as progress, sessions.resumable(record.id):
        result = session.resume(record, progress=progress, out=out.path, rate_hz=out.rate_hz)
    print_result(result, begun, as_json=execution.as_json)


def _resume_batch(session: Session, record: RunRecord, *, as_json: bool) -> None:
    """Continue a batch with its recorded options, and the study that it belongs to, if any.

    Raises:
        typer.Exit: like `run_batch`.
    """
    begun = time.perf_counter()
    opened = session.reopen_batch(record)
    if opened.policy.table is not None:
        batch.check_table(Path(opened.policy.table))
    record, runs = batch.execute(session, opened)
    if opened.policy.study is not None:
        _finish_for(opened.policy.study, record)(session, opened, record, runs, as_json=as_json)
        return
    batch.finish(opened, record, runs, begun, as_json=as_json)


def _finish_for(kept: Mapping[str, object], record: RunRecord) -> Finish:
    """The function that completes the study of a batch.

    Raises:
        RunError: the kind of the study is unknown to this version.
    """
    from svdaudio.errors import RunError

    kind = str(kept.get("kind", OLDEST_KIND))
    if kind not in FINISHES:
        raise RunError(
            f"the study of batch {record.id} was started by another version of svdaudio",
            expected=" or ".join(FINISHES),
            got=kind,
            fix="repeat the command of the study",
        )
    return FINISHES[kind]
