"""Steps 5 to 7 of an edit with a single region: suppresses or boosts it, and mixes the global embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.svd.factors import Factors
from svdaudio.svd.mix import manipulate_one

if TYPE_CHECKING:
    from svdaudio.engine.stage import OnNote


def run(
    *,
    u: Float[NDArray[np.float32], "row rank"],
    s: Float[NDArray[np.float32], " rank"],
    vh: Float[NDArray[np.float32], "rank dim"],
    weights: Float[NDArray[np.float32], " row"],
    background: Float[NDArray[np.float32], "one_or_none dim"],
    direct: Float[NDArray[np.float32], " dim"],
    k: int,
    factor: float,
    weight: float,
    gamma_mix: float,
    direct_mix: float,
    note: OnNote,
) -> dict[str, Float[NDArray[np.float32], " dim"]]:
    """The region's embedding, E_suppress or E_boost, and E_final, each [dim] and L2-normalised."""
    if not len(background):
        note("no background patch left: E_bg dropped from the mix")
    region, embedding = manipulate_one(
        region=Factors(u=u, s=s, vh=vh, weights=weights),
        background=background,
        direct=direct,
        k=k,
        factor=factor,
        weight=weight,
        background_weight=gamma_mix,
        direct_weight=direct_mix,
    )
    return {"region": region, "embedding": embedding}
