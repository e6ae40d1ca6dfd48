"""Many pairs of pictures, as a flow that can be deployed and scheduled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Failed

from flows.deployed import store_of_flow
from flows.prefect_batch import Submit
from flows.prefect_runner import task_runner
from flows.published import publish_table
from svdaudio.checkpoints.bundle import Bundle, Models
from svdaudio.engine.batch import OnError, Output, carry_out, execute_batch
from svdaudio.engine.batches import Asked, Job, open_batch, table
from svdaudio.engine.plan import METHOD_ALONE
from svdaudio.places import out_root
from svdaudio.store.base import Store
from svdaudio.store.runs import RunRecord
from svdaudio.studies.pairs import Common, Pair, prepare, read_pairs


@flow(name="batch", task_runner=task_runner(), persist_result=False)
def batch(
    pairs: Path,
    settings: dict[str, Any] | None = None,
    store: str | None = None,
    *,
    baselines: bool = True,
    pictures: bool = False,
    on_error: OnError = "continue",
) -> State[Any] | dict[str, Any]:
    """The method on many pairs, each model loaded once. What an unfinished batch of them has left is gone on with.

    Args:
        pairs: a CSV or JSONL file or a folder (docs/batch.md), read when the flow runs.
        settings: dotted parameter → value, for pairs that do not say otherwise.
        store: where artifacts are; SVDAUDIO_STORE or the checkout's `artifacts` if not given.
        baselines: plain SSV2A of all pictures, too.
        pictures: draw masks, spectrograms and scores of every pair.
        on_error: what becomes of the others when one pair fails.

    Returns:
        The batch's id, how many pairs came out how, and where the table is; or, if a pair failed, the state Failed.
    """
    where = store_of_flow(store)
    common = Common(given=settings or {}, targets=None if baselines else METHOD_ALONE)
    record, _ = carry_out_pairs(
        read_pairs(pairs), common, where, files={"pairs": pairs}, title=pairs.name, pictures=pictures, on_error=on_error
    )
    told = {"batch": record.id, "state": record.state, **{name: record.results[name] for name in ("counts", "table")}}
    if record.state == "finished":
        return told
    return Failed(message=record.error or f"the batch was {record.state}")


def carry_out_pairs(
    pairs: Sequence[Pair],
    common: Common,
    store: Store,
    *,
    files: Mapping[str, Path],
    title: str,
    table_path: Path | None = None,
    pictures: bool = False,
    on_error: OnError = "continue",
    study: Mapping[str, Any] | None = None,
) -> tuple[RunRecord, dict[str, RunRecord]]:
    """Carry out a batch inside the flow that calls this, and show its table on the flow's page.

    Args:
        pairs: what is to be run.
        common: what holds for pairs that do not say otherwise.
        store: where artifacts and runs are.
        files: what tells this batch from others, by what it is called.
        title: what people see.
        table_path: where the table goes (default in the store's folder of results).
        pictures: draw masks, spectrograms and scores of every pair.
        on_error: what becomes of the others when one pair fails.
        study: what is measured with the batch, for its record.

    Returns:
        The record of the batch, and that of each run by the name of its pair.
    """
    log = get_run_logger()
    prepared = prepare(pairs, common, Bundle.open)
    for remark in dict.fromkeys(text for one in prepared for text in one.resolved.remarks):
        log.warning("%s", remark)
    asked = Asked(
        table=None if table_path is None else str(table_path.absolute()),
        pictures=pictures,
        on_error=on_error,
        study=study,
    )
    opened = open_batch(store, prepared, files=files, title=title, runner="prefect", asked=asked)
    root = out_root(store.location)
    step = Submit()

    def execute(jobs: Sequence[Job]) -> list[RunRecord]:
        config = jobs[0].request.config
        bundle = Bundle.open(config.bundle)
        models = Models.of(bundle, config)
        output = Output(root=root, class_names=tuple(bundle.classes("tagger")), pictures=pictures)
        return execute_batch(jobs, store, models, output=output, on_error=on_error, step=step)

    record, runs = carry_out(opened, store, execute, table_path=table_path or root / f"{opened.record.id}.csv")
    publish_table(table(opened.members, runs), record.id)
    return record, {job.name: run for job, run in zip(opened.jobs, runs, strict=True)}
