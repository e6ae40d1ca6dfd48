"""Measures how far suppression or boost moves a region's embedding."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.svd.factors import Factors, reach


def run(
    *,
    u: Float[NDArray[np.float32], "row rank"],
    s: Float[NDArray[np.float32], " rank"],
    vh: Float[NDArray[np.float32], "rank dim"],
    weights: Float[NDArray[np.float32], " row"],
    k: int,
    factor: float,
) -> dict[str, Float[NDArray[np.float64], ""]]:
    """Share of the region's mean in its first K components, and the angle in degrees by which the mean is moved."""
    found = reach(Factors(u=u, s=s, vh=vh, weights=weights), k=k, factor=factor)
    return {"share": np.array(found.share), "degrees": np.array(found.degrees)}
