"""What the deployed flows share: from plain parameters to a finished run with its sounds written."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from prefect import get_run_logger

from flows.prefect_runner import walk
from flows.published import publish
from svdaudio.checkpoints.bundle import Bundle, Models
from svdaudio.config import Resolved, RunConfig, resolve
from svdaudio.engine.plan import Request, check_pictures, new_run
from svdaudio.engine.run import read_outputs
from svdaudio.places import default_store, out_root
from svdaudio.store import Store, open_store
from svdaudio.views.report import RunArtifacts, write_report


def carry_out(
    settings: Mapping[str, Any], store: str | None, make_request: Callable[[RunConfig, Bundle], Request]
) -> dict[str, Any]:
    """Run a request inside the flow that calls this, and write its sounds, pictures and scores.

    Args:
        settings: dotted parameter → value; the bundle's own settings fill in what is not given.
        store: where artifacts are; SVDAUDIO_STORE or the checkout's `artifacts` if not given.
        make_request: what to compute, from the configuration and the bundle.

    Returns:
        The run's id under "run", and what was written (`svdaudio.views.report.Report.results`).
    """
    log = get_run_logger()
    bundles: dict[str, Bundle] = {}

    def bundle_settings(name: str) -> Mapping[str, Any]:
        bundles[name] = Bundle.open(name)
        return bundles[name].settings

    resolved: Resolved = resolve(given=settings, bundle_settings=bundle_settings)
    for remark in resolved.remarks:
        log.warning("%s", remark)
    config = resolved.config
    bundle = bundles[config.bundle]
    where = store_of_flow(store)
    models = Models.of(bundle, config)
    request = check_pictures(make_request(config, bundle))
    run = walk(request, where, models, run=new_run(request, resolved, runner="prefect"))
    artifacts = RunArtifacts(run, lambda node: read_outputs(request, where, models, run=run, node=node))
    report = write_report(artifacts, root=out_root(where.location), class_names=tuple(bundle.classes("tagger")))
    where.runs.write(replace(run, results=report.results()))
    publish(report, run.id)
    return {"run": run.id, **report.results()}


def store_of_flow(store: str | None) -> Store:
    """The store that a flow was given, else that of SVDAUDIO_STORE, else the checkout's."""
    return open_store(store or os.environ.get("SVDAUDIO_STORE") or default_store())
