"""Steps 6 and 7: the background's embedding, and the mix of all parts into one global embedding.

E_final = α_mix E_suppress + β_mix E_boost + γ_mix E_bg + direct_mix E_direct, L2-normalised. With direct_mix = 0 and
weights that sum to 1 it is the method's three-way form. Missing parts drop out, and the others keep their weights: E_bg
without a background patch, E_suppress or E_boost without a region to remove or to add. Plain numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from svdaudio.errors import ConfigError, EmptyRegionError, InputError
from svdaudio.svd.factors import Factors, aggregate


@dataclass(frozen=True, kw_only=True)
class MixWeights:
    """Weight of each part in the mix, ≥ 0; only their ratios matter."""

    suppress: float = 0.1
    """α_mix."""
    boost: float = 0.4
    """β_mix."""
    background: float = 0.1
    """γ_mix."""
    direct: float = 0.4
    """direct_mix."""

    def __post_init__(self) -> None:
        """Refuse invalid weights."""
        values = {"alpha": self.suppress, "beta": self.boost, "gamma": self.background, "direct": self.direct}
        for name, value in values.items():
            if not (np.isfinite(value) and value >= 0):
                raise ConfigError(f"the mixing weight {name} is invalid", expected="a finite number >= 0", got=value)
        if not any(values.values()):
            raise ConfigError("the mix is empty", expected="a mixing weight above 0", got="all 0")


@dataclass(frozen=True, kw_only=True)
class Manipulated:
    """The embeddings of the edit, each [768] and L2-normalised."""

    suppress: Float[NDArray[np.float32], " dim"]
    boost: Float[NDArray[np.float32], " dim"]
    embedding: Float[NDArray[np.float32], " dim"]


def background_embedding(
    tokens: Float[NDArray[Any], "token dim"],
    grid_removed: Bool[NDArray[np.bool_], " patch"],
    grid_added: Bool[NDArray[np.bool_], " patch"],
) -> Float[NDArray[np.float32], "one_or_none dim"]:
    """Mean of the edited picture's patches that are in neither region, L2-normalised.

    Args:
        tokens: tokens of the edited picture, CLS first.
        grid_removed: the removed region, from the original picture's mask.
        grid_added: the added region, from the edited picture's mask.

    Returns:
        [1, dim], or [0, dim] if the regions cover every patch.
    """
    patches = tokens[1:][~(grid_removed.astype(bool) | grid_added.astype(bool))]
    if not len(patches):
        return np.zeros((0, tokens.shape[1]), np.float32)
    return _normalised(patches.astype(np.float64).mean(axis=0))[None]


def combine(
    weights: MixWeights,
    *,
    suppress: Float[NDArray[Any], " dim"] | None = None,
    boost: Float[NDArray[Any], " dim"] | None = None,
    background: Float[NDArray[Any], " dim"] | None = None,
    direct: Float[NDArray[Any], " dim"] | None = None,
) -> Float[NDArray[np.float32], " dim"]:
    """Step 7: the weighted sum of the parts, L2-normalised.

    A missing region, or a missing background (no patch is outside the regions), drops out of the mix.

    Raises:
        InputError: no parts are given, their shapes differ, a number is not finite, or `weights.direct` is given
            without a direct embedding.
        EmptyRegionError: nothing is left, as when only the background has a weight and there is none.
    """
    if direct is None and weights.direct:
        raise InputError(
            "the direct embedding is missing", expected="emb_direct", fix="give it, or set the direct weight to 0"
        )
    parts = (
        (weights.suppress, suppress),
        (weights.boost, boost),
        (weights.background, background),
        (weights.direct, direct),
    )
    present = [(weight, part) for weight, part in parts if part is not None]
    if not present:
        raise InputError("no embedding given to mix")
    if len(shapes := {part.shape for _, part in present}) > 1:
        raise InputError("the embeddings to mix have different shapes", got=sorted(map(list, shapes)))
    if not all(np.isfinite(part).all() for _, part in present):
        raise InputError("an embedding to mix holds numbers that are not finite", got="NaN or infinity")
    weighing = [part for weight, part in present if weight]
    if len(weighing) == 1 and abs(float(np.linalg.norm(weighing[0].astype(np.float64))) - 1) < 1e-6:
        return weighing[0].astype(np.float32)  # unchanged to the last bit: the direct mix alone is plain SSV2A
    return _normalised(sum((weight * part.astype(np.float64) for weight, part in present), np.zeros(shapes.pop())))


def manipulate(
    *,
    removed: Factors,
    added: Factors,
    background: Float[NDArray[Any], "one_or_none dim"],
    direct: Float[NDArray[Any], " dim"],
    k: int,
    alpha: float,
    beta: float,
    weights: MixWeights,
) -> Manipulated:
    """Steps 6 and 7 from the factors: suppress the removed region, boost the added one, mix.

    Args:
        removed: factors of the removed region, in the original picture.
        added: factors of the added region, in the edited picture.
        background: result of `background_embedding`.
        direct: the edited picture's image embedding.
        k: singular values to scale, in both regions.
        alpha: factor that suppresses, 0.1 to 0.5 recommended.
        beta: factor that boosts, 1.1 to 3 recommended.
        weights: weights of the mix.

    Raises:
        ConfigError, EmptyRegionError, InputError: see `aggregate` and `combine`.
    """
    suppress = aggregate(removed, k=k, factor=alpha)
    boost = aggregate(added, k=k, factor=beta)
    rest = background[0] if len(background) else None
    embedding = combine(weights, suppress=suppress, boost=boost, background=rest, direct=direct)
    return Manipulated(suppress=suppress, boost=boost, embedding=embedding)


def manipulate_one(
    *,
    region: Factors,
    background: Float[NDArray[Any], "one_or_none dim"],
    direct: Float[NDArray[Any], " dim"],
    k: int,
    factor: float,
    weight: float,
    background_weight: float,
    direct_weight: float,
) -> tuple[Float[NDArray[np.float32], " dim"], Float[NDArray[np.float32], " dim"]]:
    """Steps 6 and 7 of an edit that only removes or only adds: `manipulate` without the other region.

    Args:
        region: factors of the removed region, in the original picture, or of the added one, in the edited picture.
        background: result of `background_embedding`.
        direct: the edited picture's image embedding.
        k: singular values to scale.
        factor: α for a removed region, β for an added one.
        weight: α_mix or β_mix.
        background_weight: γ_mix.
        direct_weight: direct_mix.

    Returns:
        The region's embedding, and the mix, both L2-normalised.

    Raises:
        ConfigError, EmptyRegionError, InputError: see `aggregate` and `combine`.
    """
    scaled = aggregate(region, k=k, factor=factor)
    weights = MixWeights(suppress=weight, boost=0.0, background=background_weight, direct=direct_weight)
    rest = background[0] if len(background) else None
    return scaled, combine(weights, suppress=scaled, background=rest, direct=direct)


def _normalised(vector: NDArray[np.float64]) -> NDArray[np.float32]:
    length = np.linalg.norm(vector)
    if not length > 1e-9:
        raise EmptyRegionError(
            "the mix leaves nothing: its parts cancel out or have no weight", fix="raise a mixing weight"
        )
    return (vector / length).astype(np.float32)
