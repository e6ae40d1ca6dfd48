"""Steps 5 to 7: suppress, boost, and mix into one global embedding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from svdaudio.svd.factors import Factors
from svdaudio.svd.mix import MixWeights, manipulate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks import ModelSource


def run(
    inputs: Mapping[str, Any], parameters: Mapping[str, Any], models: ModelSource, note: Callable[[str], None]
) -> dict[str, NDArray[Any]]:
    """Run the stage; see `tasks.Body`."""
    del models
    removed, added = (
        Factors(u=inputs[f"u_{r}"], s=inputs[f"s_{r}"], vh=inputs[f"vh_{r}"], weights=inputs[f"weights_{r}"])
        for r in ("removed", "added")
    )
    if not len(inputs["background"]):
        note("no background patch left: E_bg dropped from the mix")
    result = manipulate(
        removed=removed,
        added=added,
        background=inputs["background"],
        direct=inputs["direct"],
        k=parameters["k"],
        alpha=parameters["alpha"],
        beta=parameters["beta"],
        weights=MixWeights(
            suppress=parameters["alpha_mix"],
            boost=parameters["beta_mix"],
            background=parameters["gamma_mix"],
            direct=parameters["direct_mix"],
        ),
    )
    return {"suppress": result.suppress, "boost": result.boost, "embedding": result.embedding}
