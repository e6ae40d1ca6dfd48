"""Step 5, the part that depends on no parameter: the SVD of a region."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from svdaudio.svd.factors import factorize


def run(
    *, tokens: Float[NDArray[np.float32], "token dim"], grid: Bool[NDArray[np.bool_], " patch"]
) -> dict[str, NDArray[Any]]:
    """U [1 + n, r], singular values [r], Vᵀ [r, dim] and row weights [1 + n] of [CLS; the region's n patches]."""
    factors = factorize(tokens, grid)
    return {"u": factors.u, "s": factors.s, "vh": factors.vh, "weights": factors.weights}
