"""Step 5 on centred tokens: subtract the region's mean before the factorisation, and add it back after scaling.

X = [CLS; the region's patches] = 1 μᵀ + U Σ Vᵀ. With w the normalised weights, the aggregate is μ + Σᵢ gᵢ (wᵀuᵢ) σᵢ vᵢ,
L2-normalised, where gᵢ is the factor for i ≤ K and 1 after. Not in the published method: rows that share a direction
make the first singular vector nearly their mean, so that scaling it and normalising cancel out; without the mean, the
first singular vectors are those in which the rows differ. If μ is the weighted mean of the rows, wᵀUΣ = 0, and no
factor can move the aggregate; so μ may also be the mean of the patches alone, without CLS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

from svdaudio.errors import EmptyRegionError
from svdaudio.svd.factors import Factors, check_scaling, factorize

Centre = Literal["rows", "patches"]
"""Rows that the mean is taken over: CLS and the region's patches by their weights, or the patches alone."""


@dataclass(frozen=True, kw_only=True)
class CentredFactors:
    """The factors of a region's tokens less their mean, and the mean."""

    factors: Factors
    mean: Float[NDArray[np.float64], " dim"]


def factorize_centred(
    tokens: Float[NDArray[Any], "token dim"], weights: Shaped[NDArray[Any], " patch"], *, centre: Centre
) -> CentredFactors:
    """Factors of a region of one picture, less its mean.

    Args:
        tokens: CLS and then the patches, each L2-normalised.
        weights: weight of each patch, ≥ 0; patches of weight 0 are not in the region. CLS has weight 1.
        centre: rows that the mean is taken over.

    Raises:
        EmptyRegionError, InputError: as `factorize`.
    """
    factorize(tokens, weights)  # refuses what cannot be factorised
    every = np.concatenate([[1.0 if centre == "rows" else 0.0], weights.astype(np.float64)])
    mean = every @ tokens.astype(np.float64) / every.sum()
    return CentredFactors(factors=factorize(tokens.astype(np.float64) - mean, weights), mean=mean)


def aggregate_centred(centred: CentredFactors, *, k: int, factor: float) -> Float[NDArray[np.float32], " dim"]:
    """The region's embedding after scaling the first `k` singular values of its centred tokens, L2-normalised.

    Args:
        centred: centred factors of the region.
        k: singular values to scale, ≥ 1; a larger number than the rank scales all.
        factor: α or β, ≥ 0.

    Raises:
        ConfigError: `k` or `factor` is invalid.
        EmptyRegionError: nothing is left.
    """
    check_scaling(np.array([k]), np.array([factor], dtype=np.float64))
    found = centred.factors
    coefficients = found.coefficients
    coefficients[:k] *= factor
    total = centred.mean + coefficients @ found.vh.astype(np.float64)
    length = float(np.linalg.norm(total))
    if not length > 1e-6:
        raise EmptyRegionError("nothing is left of the region: its mean and its scaled parts cancel out")
    return (total / length).astype(np.float32)
