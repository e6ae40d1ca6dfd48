"""Step 6, the background: the mean of all patches outside both regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from svdaudio.svd.mix import background_embedding

if TYPE_CHECKING:
    from svdaudio.engine.stage import OnNote


def run(
    *,
    tokens: Float[NDArray[np.float32], "token dim"],
    grid_removed: Bool[NDArray[np.bool_], " patch"],
    grid_added: Bool[NDArray[np.bool_], " patch"],
    note: OnNote,
) -> dict[str, Float[NDArray[np.float32], "one_or_none dim"]]:
    """Mean of the background patches, [1, dim], or [0, dim] where there are none."""
    embedding = background_embedding(tokens, grid_removed, grid_added)
    if not len(embedding):
        note("the regions cover every patch: there is no background")
    return {"embedding": embedding}
