"""The evaluation on held-out edits, as a flow that can be deployed and scheduled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.states import Failed

from svdaudio.engine.batches import BatchPolicy
from svdaudio.errors import SvdAudioError
from svdaudio.flows import pages
from svdaudio.flows.batch import compute_rows
from svdaudio.flows.handover import failed
from svdaudio.flows.stages import ThisFlow, one_at_a_time
from svdaudio.session import Session
from svdaudio.studies.edit_study import Study, chosen_edits
from svdaudio.studies.edits import EDITS_SEED, figures
from svdaudio.studies.pairs import Common


@flow(name="evaluate", task_runner=one_at_a_time(), persist_result=False)
def evaluate(
    settings: dict[str, Any] | None = None,
    store: str | None = None,
    *,
    only: list[str] | None = None,
    unscaled: bool = False,
    scenes: int = EDITS_SEED,
    out: Path | None = None,
) -> Any:
    """Do the same as `svdaudio evaluate edits`. An unfinished evaluation is continued.

    Args:
        settings: dotted parameter → value.
        store: location of the store; by default that of SVDAUDIO_STORE or `places.default_store()`.
        only: edits like "cat-duck"; by default all 72.
        unscaled: add a third control, the method with both factors 1.
        scenes: seed of the scenes.
        out: folder for the table, the page and the picture; by default in the store's folder of results.

    Returns:
        The batch's id, the figures of every variant, and the files; or, if an edit failed, the state Failed.
    """
    try:
        session = Session(store, runner=ThisFlow())
        folder = out or session.out_root / f"edits.{scenes}"
        study = Study(folder=folder, kinds=chosen_edits(only), scene_seed=scenes, unscaled=unscaled)
        command = study.command([f"{name}={json.dumps(value)}" for name, value in (settings or {}).items()], {})
        record, runs = compute_rows(
            session, study.pairs(), "manipulate", Common(given=settings or {}), files={"scenes": study.scenes},
            title=f"{len(study.edits)} edits",
            policy=BatchPolicy(table=str((folder / "runs.csv").absolute()), study=study.kept(command)),
        )  # fmt: skip
        outcomes = study.outcomes({name: run.results for name, run in runs.items()})
        if not outcomes:
            return Failed(message=record.error or f"the evaluation was {record.state}")
        files = study.write(outcomes, command=command, bundle=record.bundle)
    except SvdAudioError as error:
        return failed(error)
    found = {variant: figures(outcomes, variant) for variant in outcomes[0].sounds}
    pages.show_figures(found, record.id)
    if len(outcomes) < len(study.edits):
        return Failed(message=f"{len(study.edits) - len(outcomes)} of {len(study.edits)} edits have no result")
    return {
        "batch": record.id,
        "figures": {variant: {figure.name: figure.value for figure in row} for variant, row in found.items()},
        "files": {name: str(path) for name, path in files.items()},
    }
