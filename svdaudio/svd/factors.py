"""Steps 5 and 6: scale the singular values of a region's tokens, and aggregate the region into one embedding.

X = [CLS; the region's patches] = U Σ Vᵀ. The first K singular values are multiplied by f (α < 1 to suppress,
β > 1 to boost), X' = U Σ' Vᵀ, and the result is the weighted mean of the rows of X', L2-normalised.

X' itself is never needed. With w the normalised weights and c = (wᵀU) Σ, the mean is wᵀX' = Σᵢ gᵢ cᵢ vᵢ, where gᵢ is f
for i ≤ K and 1 after: one factorisation serves every K and f, and any number of settings is one matrix product.
A sign that LAPACK picks for uᵢ and vᵢ cancels in cᵢ vᵢ. Plain numpy: changing a factor needs no torch.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped
from numpy.typing import NDArray

from svdaudio.errors import ConfigError, EmptyRegionError, InputError


@dataclass(frozen=True, kw_only=True)
class Factors:
    """The singular value decomposition of [CLS; the region's patches], rank r = min(n, 768)."""

    u: Float[NDArray[np.float32], "n r"]
    s: Float[NDArray[np.float32], " r"]
    """Singular values, largest first."""
    vh: Float[NDArray[np.float32], "r dim"]
    weights: Float[NDArray[np.float32], " n"]
    """Weight of each row in the mean: 1 for CLS, the grid's value for a patch."""

    @property
    def coefficients(self) -> Float[NDArray[np.float64], " r"]:
        """cᵢ = (wᵀuᵢ) σᵢ, with w the normalised weights."""
        weights = self.weights.astype(np.float64)
        return (weights / weights.sum()) @ self.u.astype(np.float64) * self.s


def factorize(tokens: Float[NDArray[Any], "token dim"], weights: Shaped[NDArray[Any], " patch"]) -> Factors:
    """Factors of a region of one picture.

    Args:
        tokens: CLS and then the patches, each L2-normalised.
        weights: weight of each patch, ≥ 0; truth values or numbers. Patches of weight 0 are not in the region.

    Raises:
        EmptyRegionError: no patch has a weight.
        InputError: shapes that do not match, or numbers that are not finite and ≥ 0.
    """
    if tokens.ndim != 2 or weights.shape != (len(tokens) - 1,):
        got = f"{list(tokens.shape)} and {list(weights.shape)}"
        raise InputError("the shapes of tokens and weights do not match", expected="[1 + n, dim] and [n]", got=got)
    values = weights.astype(np.float64)
    if not (np.isfinite(values).all() and (values >= 0).all() and np.isfinite(tokens).all()):
        raise InputError("tokens or weights are invalid", expected="finite tokens, finite weights >= 0")
    inside = values > 0
    if not inside.any():
        raise EmptyRegionError(
            "the region holds no patch: every weight is 0", fix="click on the object, or lower the mask threshold"
        )
    rows = tokens[np.concatenate([[True], inside])].astype(np.float64)
    u, s, vh = np.linalg.svd(rows, full_matrices=False)
    # Results do not depend on the signs, but the artifact's bytes would: the largest entry of each vᵢ is positive.
    signs = np.sign(vh[np.arange(len(s)), np.abs(vh).argmax(axis=1)])
    signs[signs == 0] = 1
    return Factors(
        u=(u * signs).astype(np.float32),
        s=s.astype(np.float32),
        vh=(vh * signs[:, None]).astype(np.float32),
        weights=np.concatenate([[1.0], values[inside]]).astype(np.float32),
    )


def aggregate(factors: Factors, *, k: int, factor: float) -> Float[NDArray[np.float32], " dim"]:
    """The region's embedding after scaling its first `k` singular values, L2-normalised.

    Args:
        factors: factors of the region.
        k: singular values to scale, ≥ 1; a larger number than the rank scales all (which changes no direction).
        factor: α or β, ≥ 0.

    Raises:
        ConfigError: `k` or `factor` is invalid.
        EmptyRegionError: nothing is left, as when every singular value is multiplied by 0.
    """
    return aggregate_many(factors, ks=np.array([_index(k)]), gains=np.array([factor], dtype=np.float64))[0]


def aggregate_many(
    factors: Factors, *, ks: Int[NDArray[Any], " setting"], gains: Float[NDArray[Any], " setting"]
) -> Float[NDArray[np.float32], "setting dim"]:
    """`aggregate` for many settings at once, as one matrix product. Same arguments and errors."""
    check_scaling(ks, gains)
    coefficients = factors.coefficients
    scaled = np.arange(len(factors.s)) < ks[:, None]
    means = np.where(scaled, gains[:, None], 1.0) @ (coefficients[:, None] * factors.vh)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    # Where exact arithmetic would leave nothing, rounding of the factors leaves about 1e-7 of the unscaled mean.
    if (lengths <= 1e-6 * np.linalg.norm(coefficients)).any():
        raise nothing_left()
    return (means / lengths).astype(np.float32)


def nothing_left() -> EmptyRegionError:
    """The error for a region whose embedding is 0 after scaling."""
    return EmptyRegionError(
        "nothing is left of the region: its singular values were multiplied by 0",
        fix="raise the factor, or lower svd.k below the number of patches",
    )


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How far a factor on the first K singular values can move a region's embedding, and how far it does."""

    share: float
    """‖P_K m‖ / ‖m‖ of the region's mean m, 0 to 1: near 1, scaling it and normalising cancel out."""
    degrees: float
    """Angle between the embeddings with and without the factor, 0 to 90."""


def reach(factors: Factors, *, k: int, factor: float) -> Reach:
    """The reach of α or β on a region.

    Args:
        factors: factors of the region.
        k: singular values to scale, ≥ 1.
        factor: α or β, ≥ 0.

    Raises:
        ConfigError: `k` or `factor` is invalid.
    """
    share, degrees = reach_many(factors, ks=np.array([_index(k)]), gains=np.array([factor], dtype=np.float64))
    return Reach(share=float(share[0]), degrees=float(degrees[0]))


def reach_many(
    factors: Factors, *, ks: Int[NDArray[Any], " setting"], gains: Float[NDArray[Any], " setting"]
) -> tuple[Float[NDArray[np.float64], " setting"], Float[NDArray[np.float64], " setting"]]:
    """Share and degrees of `reach` for many settings at once. Same arguments and errors.

    With h and t the lengths of the mean's first K components and of the others, which are orthogonal, the mean lies at
    the angle atan(t / h) from the first, and at atan(t / (f h)) after scaling.
    """
    check_scaling(ks, gains)
    squares = factors.coefficients**2
    first = np.concatenate([[0.0], np.cumsum(squares)])[np.minimum(ks, len(squares))]
    head, tail = np.sqrt(first), np.sqrt(np.maximum(squares.sum() - first, 0.0))
    angles = np.arctan2(tail, gains * head) - np.arctan2(tail, head)
    return head / np.hypot(head, tail), np.degrees(np.abs(angles))


def check_scaling(ks: Int[NDArray[Any], " setting"], gains: Float[NDArray[Any], " setting"]) -> None:
    """Refuse an invalid K or factor.

    Raises:
        ConfigError: a K < 1, or a factor that is negative or not finite.
    """
    if (ks < 1).any():
        raise ConfigError(
            "K is invalid", expected="at least 1 singular value", got=int(ks.min()), fix="set svd.k to 1 or more"
        )
    if wrong := [float(g) for g in gains if not (np.isfinite(g) and g >= 0)]:
        raise ConfigError("the factor on the singular values is invalid", expected="a finite number >= 0", got=wrong[0])


def svd_manipulate(
    cls_token: Float[NDArray[Any], " dim"],
    patch_tokens: Float[NDArray[Any], "patch dim"],
    mask_weights: Shaped[NDArray[Any], " patch"],
    *,
    k: int = 5,
    mode: str = "suppress",
    alpha: float = 0.3,
    beta: float = 1.5,
) -> Float[NDArray[np.float32], " dim"]:
    """Steps 5 and 6 in one: factorise a region and aggregate it with α ("suppress") or β ("boost").

    Raises:
        ConfigError: an unknown mode, or an invalid `k`, α or β.
        EmptyRegionError: no patch has a weight, or nothing is left.
        InputError: shapes that do not match.
    """
    gains = {"suppress": alpha, "boost": beta}
    if mode not in gains:
        raise ConfigError("unknown mode", expected="'suppress' or 'boost'", got=repr(mode))
    if cls_token.ndim != 1 or patch_tokens.ndim != 2 or patch_tokens.shape[1] != len(cls_token):
        raise InputError(
            "the shapes of the tokens do not match",
            expected="[dim] and [patch, dim]",
            got=f"{list(cls_token.shape)} and {list(patch_tokens.shape)}",
        )
    factors = factorize(np.concatenate([cls_token[None], patch_tokens]), mask_weights)
    return aggregate(factors, k=k, factor=gains[mode])


def _index(k: int) -> int:
    try:
        return operator.index(k)
    except TypeError as error:
        raise ConfigError("K is invalid", expected="a whole number", got=k) from error
