"""Step 6, the background: what is in neither region."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from svdaudio.svd.mix import background_embedding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks import ModelSource


def run(
    inputs: Mapping[str, Any], parameters: Mapping[str, Any], models: ModelSource, note: Callable[[str], None]
) -> dict[str, NDArray[Any]]:
    """Run the stage; see `tasks.Body`."""
    del parameters, models
    embedding = background_embedding(inputs["tokens"], inputs["grid_removed"], inputs["grid_added"])
    if not len(embedding):
        note("the regions cover every patch: there is no background")
    return {"embedding": embedding}
