"""Making room in a store, as a flow that can be deployed and scheduled."""

from __future__ import annotations

import time
from typing import Any

from prefect import flow, get_run_logger

from flows.deployed import store_of_flow
from flows.prefect_runner import task_runner
from svdaudio.store.gc import HOUR_S, Policy, carry_out, plan_collection

GRACE_HOURS = 24.0


@flow(name="gc", task_runner=task_runner(), persist_result=False)
def gc(
    store: str | None = None,
    *,
    keep_days: float | None = None,
    max_bytes: int | None = None,
    grace_hours: float = GRACE_HOURS,
) -> dict[str, Any]:
    """Remove what no run uses any more; safe beside runs that are going.

    Args:
        store: where artifacts are; SVDAUDIO_STORE or the checkout's `artifacts` if not given.
        keep_days: runs that were started longer ago are forgotten.
        max_bytes: what the artifacts may take up.
        grace_hours: what is younger is left alone.

    Returns:
        How many runs, artifacts and leftovers went, their bytes, and how many artifacts stay.
    """
    log = get_run_logger()
    where = store_of_flow(store)
    policy = Policy(keep_days=keep_days, max_bytes=max_bytes, grace_s=grace_hours * HOUR_S)
    collection = carry_out(where, plan_collection(where, policy, now_s=time.time()))
    for remark in collection.remarks:
        log.warning("%s", remark)
    told = {
        "runs": len(collection.runs),
        "artifacts": len(collection.removals),
        "leftovers": len(collection.leftovers),
        "bytes": collection.n_bytes,
        "kept": collection.n_kept,
    }
    log.info("%s went from %s", ", ".join(f"{number} {what}" for what, number in told.items()), where.location)
    return told
