"""Garbage collection in a store, as a flow that can be deployed and scheduled."""

from __future__ import annotations

import time
from typing import Any

from prefect import flow, get_run_logger

from svdaudio.errors import SvdAudioError
from svdaudio.flows.handover import failed
from svdaudio.flows.stages import one_at_a_time
from svdaudio.session import Session
from svdaudio.store.gc import HOUR_S, Policy, carry_out, plan_collection

GRACE_HOURS = 24.0


@flow(name="gc", task_runner=one_at_a_time(), persist_result=False)
def gc(
    store: str | None = None,
    *,
    keep_days: float | None = None,
    max_bytes: int | None = None,
    grace_hours: float = GRACE_HOURS,
) -> Any:
    """Remove everything that no run uses any more. Safe while other runs are active.

    Args:
        store: location of the store; by default that of SVDAUDIO_STORE or `places.default_store()`.
        keep_days: runs older than this are removed.
        max_bytes: maximum total size of artifacts.
        grace_hours: artifacts younger than this are kept.

    Returns:
        The numbers of removed runs, artifacts and leftovers, their size in bytes, and the number of artifacts kept.
    """
    log = get_run_logger()
    try:
        where = Session(store).store
        policy = Policy(keep_days=keep_days, max_bytes=max_bytes, grace_s=grace_hours * HOUR_S)
        collection = carry_out(where, plan_collection(where, policy, now_s=time.time()))
    except SvdAudioError as error:
        return failed(error)
    for remark in collection.remarks:
        log.warning("%s", remark)
    removed = {
        "runs": len(collection.runs),
        "artifacts": len(collection.removals),
        "leftovers": len(collection.leftovers),
        "bytes": collection.n_bytes,
    }
    log.info("removed from %s: %s", where.location, ", ".join(f"{number} {what}" for what, number in removed.items()))
    return {**removed, "kept": collection.n_kept}
