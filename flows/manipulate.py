"""The method on a pair of pictures, as a flow that can be deployed and scheduled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow

from flows.deployed import carry_out
from flows.prefect_runner import task_runner
from svdaudio.engine.plan import METHOD_ALONE, manipulate_request


@flow(name="manipulate", task_runner=task_runner(), persist_result=False)
def manipulate(
    original: Path, edited: Path, settings: dict[str, Any], store: str | None = None, *, baselines: bool = True
) -> dict[str, Any]:
    """Sound that follows an image edit.

    Args:
        original: the picture before the edit.
        edited: the picture after it.
        settings: dotted parameter → value; `remove` and `add` are clicks such as "120,80".
        store: where artifacts are; SVDAUDIO_STORE or the checkout's `artifacts` if not given.
        baselines: plain SSV2A of both pictures, too.

    Returns:
        The run's id, and the files that were written.
    """
    targets = None if baselines else METHOD_ALONE
    return carry_out(
        settings, store, lambda config, bundle: manipulate_request(original, edited, config, bundle, targets)
    )
