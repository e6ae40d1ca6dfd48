"""The Fréchet distance of two sets of features, as FAD, FD-PANNs and FD-PaSST use it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray


def frechet_distance(
    features: Float[NDArray[np.floating], "clip dim"], reference: Float[NDArray[np.floating], "reference_clip dim"]
) -> float:
    """Squared Fréchet distance of the Gaussians with the means and covariances of two sets; lower is closer.

        FD = ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½)

    Heusel et al. 2017 (arXiv 1706.08500) for pictures, Kilgour et al. 2019 (arXiv 1812.08466) for sounds. The trace of
    the root is the sum of the roots of the eigenvalues of Σ₁^½ Σ₂ Σ₁^½, a symmetric matrix, which needs no complex
    numbers. Covariances are those of samples (n − 1).

    Biased upwards, more so with fewer clips: compare only sets of equal size.

    Args:
        features: of the sounds.
        reference: of the reference set.

    Raises:
        ValueError: a set does not have more clips than dimensions, so that its covariance lacks full rank.
    """
    for name, one in (("set", features), ("reference", reference)):
        if (why := too_few_for_covariance(*one.shape)) is not None:
            raise ValueError(f"{name}: {why}")
    first, second = (np.asarray(one, np.float64) for one in (features, reference))
    offset = first.mean(axis=0) - second.mean(axis=0)
    covariances = [np.atleast_2d(np.cov(one, rowvar=False)) for one in (first, second)]
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(values.clip(min=0.0))) @ vectors.T
    product = np.linalg.eigvalsh(root @ covariances[1] @ root)
    traces = sum(float(np.trace(one)) for one in covariances)
    return float(offset @ offset + traces - 2.0 * np.sqrt(product.clip(min=0.0)).sum())


def too_few_for_covariance(n_clips: int, n_dims: int) -> str | None:
    """Why a number of clips is too small for a covariance of full rank; None if it is not."""
    if n_clips > n_dims:
        return None
    return f"{n_clips} clips are too few for a covariance of {n_dims} dimensions, which needs more than {n_dims}"
