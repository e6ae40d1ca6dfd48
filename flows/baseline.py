"""Plain SSV2A on one picture, as a flow that can be deployed and scheduled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow

from flows.deployed import carry_out
from flows.prefect_runner import task_runner
from svdaudio.engine.plan import baseline_request


@flow(name="baseline", task_runner=task_runner(), persist_result=False)
def baseline(image: Path, settings: dict[str, Any] | None = None, store: str | None = None) -> dict[str, Any]:
    """The sound of one picture as it is.

    Args:
        image: the picture.
        settings: dotted parameter → value.
        store: where artifacts are; SVDAUDIO_STORE or the checkout's `artifacts` if not given.

    Returns:
        The run's id, and the files that were written.
    """
    return carry_out(settings or {}, store, lambda config, bundle: baseline_request(image, config, bundle))
