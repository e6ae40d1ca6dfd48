"""Steps 5 to 7: suppresses one region, boosts the other, and mixes both into one global embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.svd.factors import Factors
from svdaudio.svd.mix import MixWeights, manipulate

if TYPE_CHECKING:
    from svdaudio.engine.stage import OnNote


def run(
    *,
    u_removed: Float[NDArray[np.float32], "row_removed rank_removed"],
    s_removed: Float[NDArray[np.float32], " rank_removed"],
    vh_removed: Float[NDArray[np.float32], "rank_removed dim"],
    weights_removed: Float[NDArray[np.float32], " row_removed"],
    u_added: Float[NDArray[np.float32], "row_added rank_added"],
    s_added: Float[NDArray[np.float32], " rank_added"],
    vh_added: Float[NDArray[np.float32], "rank_added dim"],
    weights_added: Float[NDArray[np.float32], " row_added"],
    background: Float[NDArray[np.float32], "one_or_none dim"],
    direct: Float[NDArray[np.float32], " dim"],
    k: int,
    alpha: float,
    beta: float,
    alpha_mix: float,
    beta_mix: float,
    gamma_mix: float,
    direct_mix: float,
    note: OnNote,
) -> dict[str, Float[NDArray[np.float32], " dim"]]:
    """E_suppress, E_boost and E_final, each [dim] and L2-normalised, from the factors of both regions."""
    if not len(background):
        note("no background patch left: E_bg dropped from the mix")
    result = manipulate(
        removed=Factors(u=u_removed, s=s_removed, vh=vh_removed, weights=weights_removed),
        added=Factors(u=u_added, s=s_added, vh=vh_added, weights=weights_added),
        background=background,
        direct=direct,
        k=k,
        alpha=alpha,
        beta=beta,
        weights=MixWeights(suppress=alpha_mix, boost=beta_mix, background=gamma_mix, direct=direct_mix),
    )
    return {"suppress": result.suppress, "boost": result.boost, "embedding": result.embedding}
