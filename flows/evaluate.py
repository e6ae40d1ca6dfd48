"""The method on held-out edits, as a flow that can be deployed and scheduled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Failed

from flows.deployed import store_of_flow
from flows.deployed_batch import carry_out_pairs
from flows.prefect_runner import task_runner
from flows.published import publish_figures
from svdaudio.places import out_root
from svdaudio.studies.edit_study import Study, chosen_edits
from svdaudio.studies.edits import EDITS_SEED, figures
from svdaudio.studies.pairs import Common


@flow(name="evaluate", task_runner=task_runner(), persist_result=False)
def evaluate(
    settings: dict[str, Any] | None = None,
    store: str | None = None,
    *,
    only: list[str] | None = None,
    unscaled: bool = False,
    scenes: int = EDITS_SEED,
    out: Path | None = None,
) -> State[Any] | dict[str, Any]:
    """What `svdaudio evaluate edits` does. What an unfinished evaluation has left is gone on with.

    Args:
        settings: dotted parameter → value.
        store: where artifacts are; SVDAUDIO_STORE or the checkout's `artifacts` if not given.
        only: edits like "cat-duck" (default all 72).
        unscaled: a third control, the method with both factors 1.
        scenes: seed of the scenes.
        out: folder for the table, the page and the picture (default in the store's folder of results).

    Returns:
        The batch's id, the figures of every variant, and the files; or, if an edit failed, the state Failed.
    """
    where = store_of_flow(store)
    folder = out or out_root(where.location) / f"edits.{scenes}"
    study = Study(folder=folder, kinds=chosen_edits(only), scene_seed=scenes, unscaled=unscaled)
    overrides = [f"{name}={json.dumps(value)}" for name, value in (settings or {}).items()]
    command = study.command(overrides, {})
    record, runs = carry_out_pairs(
        study.pairs(),
        Common(given=settings or {}),
        where,
        files={"scenes": study.scenes},
        title=f"{len(study.edits)} edits",
        table_path=folder / "runs.csv",
        study=study.kept(command),
    )
    outcomes = study.outcomes({name: run.results for name, run in runs.items()})
    if not outcomes:
        return Failed(message=record.error or f"the evaluation was {record.state}")
    files = study.write(outcomes, command=command, bundle=record.bundle)
    found = {variant: figures(outcomes, variant) for variant in outcomes[0].sounds}
    publish_figures(found, record.id)
    if len(outcomes) < len(study.edits):
        return Failed(message=f"{len(study.edits) - len(outcomes)} of {len(study.edits)} edits have no result")
    return {
        "batch": record.id,
        "figures": {variant: {figure.name: figure.value for figure in row} for variant, row in found.items()},
        "files": {name: str(path) for name, path in files.items()},
    }
