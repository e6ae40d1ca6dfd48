"""Compute many mixes of one edit at once, from the factors of its two regions.

After the singular value decomposition a setting (K, α, β and the four weights of the mix) is a sum of six vectors.
With cᵢ as in `svdaudio.svd.factors` and the first K of a region apart from the rest, E_suppress = (α Σ_{i≤K} cᵢvᵢ +
Σ_{i>K} cᵢvᵢ) / length, and since the vᵢ are orthonormal, length² = α² Σ_{i≤K} cᵢ² + Σ_{i>K} cᵢ². E_boost likewise. So
all settings of one K are one product of a matrix [setting, 6] with one [6, 768]. Plain numpy, no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from svdaudio.errors import ConfigError, EmptyRegionError, InputError
from svdaudio.svd.factors import Factors, aggregate, check_scaling, nothing_left


@dataclass(frozen=True, kw_only=True)
class EditParts:
    """The parts that an edit is mixed from: outputs of the stages `factors`, `background` and `tokens`."""

    removed: Factors | None = None
    """Factors of the removed region, in the original picture, if there is one."""
    added: Factors | None = None
    """Factors of the added region, in the edited picture, if there is one."""
    background: Float[NDArray[Any], "one_or_none dim"]
    """From `svdaudio.svd.mix.background_embedding`."""
    direct: Float[NDArray[Any], " dim"]
    """The edited picture's image embedding."""


@dataclass(frozen=True, kw_only=True)
class MixColumns:
    """Settings of the mix, one array per parameter, each [n_settings]."""

    k: Int[NDArray[Any], " setting"]
    alpha: Float[NDArray[Any], " setting"]
    beta: Float[NDArray[Any], " setting"]
    suppress: Float[NDArray[Any], " setting"]
    boost: Float[NDArray[Any], " setting"]
    background: Float[NDArray[Any], " setting"]
    direct: Float[NDArray[Any], " setting"]

    def __post_init__(self) -> None:
        """Refuse invalid values.

        Raises:
            ConfigError: as `svdaudio.svd.factors.aggregate` and `svdaudio.svd.mix.MixWeights` do for one setting.
        """
        check_scaling(self.k, self.alpha)
        check_scaling(self.k, self.beta)
        weights = np.stack([self.suppress, self.boost, self.background, self.direct])
        if not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise ConfigError("a mixing weight is invalid", expected="finite numbers >= 0")
        if not weights.any(axis=0).all():
            raise ConfigError("the mix is empty", expected="a mixing weight above 0", got="all 0")

    @property
    def n_settings(self) -> int:
        """Number of settings."""
        return len(self.k)


def mix_many(parts: EditParts, settings: MixColumns) -> Float[NDArray[np.float32], "setting dim"]:
    """Steps 5 to 7 for many settings: equal to `svdaudio.svd.mix.manipulate` for each, up to rounding.

    With one region it is equal to `manipulate_one`.

    Args:
        parts: parts of one edit.
        settings: settings of the mix.

    Returns:
        The embeddings, [n_settings, 768], L2-normalised.

    Raises:
        EmptyRegionError: a setting leaves nothing of a region, or of the mix.
        InputError: parts of different dimensions.
    """
    rest = parts.background[0] if len(parts.background) else np.zeros_like(parts.direct)
    sides = (
        (parts.removed, settings.alpha, settings.suppress),
        (parts.added, settings.beta, settings.boost),
    )
    given = [(factors, gains, weights) for factors, gains, weights in sides if factors is not None]
    if len({*(factors.vh.shape[1] for factors, _, _ in given), len(parts.direct), len(rest)}) > 1:
        raise InputError("the embeddings to mix have different shapes")
    regions = [_Region.of(factors) for factors, _, _ in given]
    # [setting, 6]: the first K and the rest of either region, the background, the edited picture; 4 for one region.
    columns: list[NDArray[Any]] = []
    for region, (_, gains, weights) in zip(regions, given, strict=True):
        rest_share = weights / region.lengths(settings.k, gains)
        columns += [rest_share * gains, rest_share]
    shares = np.stack([*columns, settings.background, settings.direct], axis=1).astype(np.float32)
    mixed = np.empty((settings.n_settings, len(parts.direct)), np.float32)
    order = np.argsort(settings.k, kind="stable")
    starts = np.flatnonzero(np.diff(settings.k[order], prepend=-1))
    for chosen in np.split(order, starts[1:]):
        k = int(settings.k[chosen[0]])
        vectors = np.stack([*(part for region in regions for part in region.parts(k)), rest, parts.direct])
        vectors = vectors.astype(np.float32)
        mixed[chosen] = shares[chosen] @ vectors
    lengths = np.sqrt(np.einsum("ij,ij->i", mixed, mixed, dtype=np.float64))
    if not (lengths > 1e-6 * np.abs(shares).max(axis=1)).all():
        raise EmptyRegionError(
            "the mix leaves nothing: its parts cancel out or have no weight", fix="raise a mixing weight"
        )
    mixed /= lengths[:, None].astype(np.float32)
    return mixed


def unscaled(factors: Factors) -> Float[NDArray[np.float32], " dim"]:
    """A region's embedding without suppression or boost, L2-normalised."""
    return aggregate(factors, k=1, factor=1.0)


def cosines(
    embeddings: Float[NDArray[np.float32], "setting dim"], anchors: Mapping[str, Float[NDArray[Any], " dim"]]
) -> dict[str, Float[NDArray[np.float32], " setting"]]:
    """Cosine of each embedding with each anchor; all of them are L2-normalised."""
    return {name: embeddings @ anchor.astype(np.float32) for name, anchor in anchors.items()}


def degrees_between(
    embeddings: Float[NDArray[Any], "setting dim"], anchor: Float[NDArray[Any], " dim"]
) -> Float[NDArray[np.float64], " setting"]:
    """Angle in degrees, 0 to 180, between each embedding and an anchor; lengths do not matter.

    From the length of the chord, 2 sin(φ/2): the arc cosine of float32 cosines would lose angles below 0.02°.
    """
    first, second = (
        each.astype(np.float64) / np.linalg.norm(each.astype(np.float64), axis=-1, keepdims=True)
        for each in (embeddings, anchor)
    )
    chords = np.linalg.norm(first - second, axis=1)
    return np.degrees(2 * np.arcsin(np.clip(chords / 2, 0, 1)))


@dataclass(frozen=True, kw_only=True)
class _Region:
    """Sums over a region's singular vectors, for every K."""

    sums: NDArray[np.float64]
    """[r + 1, dim]: row K is the sum of the first K of cᵢvᵢ."""
    heads: NDArray[np.float64]
    """[r + 1]: the sum of the first K of cᵢ²."""
    tails: NDArray[np.float64]
    """[r + 1]: the sum of the others."""

    @classmethod
    def of(cls, factors: Factors) -> _Region:
        coefficients = factors.coefficients
        vectors = coefficients[:, None] * factors.vh
        squares = coefficients**2
        return cls(
            sums=np.concatenate([np.zeros((1, vectors.shape[1])), np.cumsum(vectors, axis=0)]),
            heads=np.concatenate([[0.0], np.cumsum(squares)]),
            tails=np.concatenate([np.cumsum(squares[::-1])[::-1], [0.0]]),
        )

    def parts(self, k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The sum of the first K, and that of the others."""
        head = self.sums[min(k, len(self.sums) - 1)]
        return head, self.sums[-1] - head

    def lengths(self, ks: NDArray[Any], gains: NDArray[Any]) -> NDArray[np.float64]:
        """Length of the region's mean for each setting, before normalisation."""
        cut = np.minimum(ks, len(self.sums) - 1)
        lengths = np.sqrt(gains**2 * self.heads[cut] + self.tails[cut])
        if (lengths <= 1e-6 * math.sqrt(self.heads[-1])).any():
            raise nothing_left()
        return lengths
