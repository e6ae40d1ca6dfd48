"""Step 5, the part that no parameter changes: the SVD of a region."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from svdaudio.svd.factors import factorize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks import ModelSource


def run(
    inputs: Mapping[str, Any], parameters: Mapping[str, Any], models: ModelSource, note: Callable[[str], None]
) -> dict[str, NDArray[Any]]:
    """Run the stage; see `tasks.Body`."""
    del parameters, models, note
    factors = factorize(inputs["tokens"], inputs["grid"])
    return {"u": factors.u, "s": factors.s, "vh": factors.vh, "weights": factors.weights}
