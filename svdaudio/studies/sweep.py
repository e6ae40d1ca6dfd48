"""Many settings of one edit: which ones, and what embedding each gives, all of them at once.

    grid = [parse_range("svd.alpha=0.1,0.3,0.5"), parse_range("svd.k=1..8")]
    settings = combinations(grid)                              # 24 of them: dotted name → value
    embeddings = mix_many(parts, columns(settings, config))    # [24, 768], from the factors of the two regions

After the singular value decomposition a setting (K, α, β and the four weights of the mix) is a sum of six vectors.
With cᵢ as in `svdaudio.svd.factors` and the first K of a region apart from the rest, E_suppress = (α Σ_{i≤K} cᵢvᵢ +
Σ_{i>K} cᵢvᵢ) / length, and since the vᵢ are orthonormal, length² = α² Σ_{i≤K} cᵢ² + Σ_{i>K} cᵢ². E_boost likewise. So
all settings of one K are one product of a matrix [setting, 6] with one [6, 768]. Plain numpy, no torch.
"""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from svdaudio.config import EXECUTION_PREFIX, PARAMETERS, RunConfig, parse_override, resolve, unknown_parameter
from svdaudio.errors import ConfigError, EmptyRegionError, InputError
from svdaudio.svd.factors import Factors, aggregate, check_scaling

MIX_PARAMETERS = ("svd.k", "svd.alpha", "svd.beta", "mix.alpha", "mix.beta", "mix.gamma", "mix.direct")
"""What can change without a new factorisation, in the order of the fields of `MixColumns`."""

MAX_SETTINGS = 1_000_000
_ROUNDING = 1e-9  # of a step, so that 0.1..0.5:0.1 ends with 0.5


@dataclass(frozen=True, kw_only=True)
class ParameterRange:
    """The values that one parameter is to take."""

    name: str
    values: tuple[Any, ...] = ()
    """One after the other; empty for an interval that is only drawn from."""
    interval: tuple[float, float] | None = None
    """Lowest and highest value, if it was written as `LOW..HIGH`."""

    @property
    def is_whole(self) -> bool:
        """Whether values drawn from the interval are whole numbers."""
        return self.interval is not None and all(isinstance(end, int) for end in self.interval)


def parse_range(text: str) -> ParameterRange:
    """`svd.k=1..8`, `svd.alpha=0.1..0.5:0.1`, `svd.alpha=0.1,0.3` or `geometry=squash,crop`.

    `LOW..HIGH` counts whole numbers, both ends included; fractions need a step, `LOW..HIGH:STEP`, unless settings are
    drawn at random.

    Raises:
        ConfigError: there is no such parameter, it cannot be swept, or the values cannot be read.
    """
    name, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not values:
        raise ConfigError(
            "a range cannot be read", expected="name=values", got=repr(text), fix="write it like svd.k=1..8"
        )
    if name not in PARAMETERS:
        raise unknown_parameter(name, "--grid")
    if name in ("remove", "add") or name.startswith(EXECUTION_PREFIX):
        why = "clicks hold commas, and are a pair's own" if name in ("remove", "add") else "it changes no result"
        raise ConfigError(f"'{name}' cannot be swept", got=why, fix="use `svdaudio batch` for many pairs")
    if ".." in values:
        return _interval(name, values)
    return ParameterRange(
        name=name, values=tuple(parse_override(f"{name}={value}")[1] for value in values.split(",") if value.strip())
    )


def _interval(name: str, text: str) -> ParameterRange:
    ends, _, step_text = text.partition(":")
    low_text, _, high_text = ends.partition("..")
    try:
        low, high = _number(low_text), _number(high_text)
        step = _number(step_text) if step_text.strip() else None
        if not (math.isfinite(low) and math.isfinite(high) and low <= high) or (step is not None and not step > 0):
            raise ValueError
    except (ValueError, TypeError):
        raise ConfigError(
            f"the range of '{name}' cannot be read",
            expected="LOW..HIGH or LOW..HIGH:STEP, LOW at most HIGH, STEP above 0",
            got=repr(text),
        ) from None
    if step is None and isinstance(low, int) and isinstance(high, int):
        step = 1
    values: tuple[Any, ...] = ()
    if step is not None:
        n_steps = math.floor((high - low) / step + _ROUNDING)
        if n_steps >= MAX_SETTINGS:
            raise ConfigError(f"the range of '{name}' has too many values", expected=f"at most {MAX_SETTINGS}")
        whole = isinstance(low, int) and isinstance(step, int)
        values = tuple(low + i * step if whole else round(low + i * step, 12) for i in range(n_steps + 1))
    return ParameterRange(name=name, values=values, interval=(low, high))


def _number(text: str) -> int | float:
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        raise ValueError(text) from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(text)
    return value


def combinations(ranges: Sequence[ParameterRange], *, together: bool = False) -> list[dict[str, Any]]:
    """The settings that ranges span: every combination, the last range changing fastest.

    Args:
        ranges: as `parse_range` gives them.
        together: take the first value of each, then the second of each, and so on, instead.

    Raises:
        ConfigError: a parameter twice, an interval of fractions without a step, ranges of different lengths for
            `together`, or more settings than a million.
    """
    names = _names(ranges)
    for one in ranges:
        if not one.values:
            raise ConfigError(
                f"the range of '{one.name}' has no steps", fix="write LOW..HIGH:STEP, or draw with --random N"
            )
    lengths = [len(one.values) for one in ranges]
    if together and len(set(lengths)) > 1:
        raise ConfigError("ranges of different lengths cannot go together", got=dict(zip(names, lengths, strict=True)))
    n_settings = lengths[0] if together else math.prod(lengths)
    if n_settings > MAX_SETTINGS:
        raise ConfigError("there are too many settings", expected=f"at most {MAX_SETTINGS}", got=n_settings)
    columns_ = [one.values for one in ranges]
    rows = zip(*columns_, strict=True) if together else itertools.product(*columns_)
    return [dict(zip(names, row, strict=True)) for row in rows]


def drawn(ranges: Sequence[ParameterRange], n_settings: int, seed: int) -> list[dict[str, Any]]:
    """Settings at random: uniform between the ends of an interval, or any value of a list.

    Raises:
        ConfigError: a parameter twice, or a number of settings without a meaning.
    """
    names = _names(ranges)
    if not 1 <= n_settings <= MAX_SETTINGS:
        raise ConfigError("the number of settings has no meaning", expected=f"1 to {MAX_SETTINGS}", got=n_settings)
    random = np.random.default_rng(seed)
    columns_: list[list[Any]] = []
    for one in ranges:
        if one.interval is None or (one.values and not one.is_whole):
            columns_.append([one.values[i] for i in random.integers(len(one.values), size=n_settings)])
        elif one.is_whole:
            low, high = (int(end) for end in one.interval)
            columns_.append([int(value) for value in random.integers(low, high + 1, size=n_settings)])
        else:
            columns_.append([float(value) for value in random.uniform(*one.interval, size=n_settings)])
    return [dict(zip(names, row, strict=True)) for row in zip(*columns_, strict=True)]


def _names(ranges: Sequence[ParameterRange]) -> list[str]:
    names = [one.name for one in ranges]
    if not names:
        raise ConfigError("there is nothing to sweep", fix="give --grid, like --grid svd.alpha=0.1,0.3,0.5")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"'{name}' has two ranges", fix="give all its values in one")
    return names


def check_values(ranges: Sequence[ParameterRange], given: Mapping[str, Any]) -> None:
    """Refuse values without a meaning before any setting is made of them: of a list each, of an interval its ends.

    Args:
        ranges: as `parse_range` gives them.
        given: dotted name → value of what is not swept.

    Raises:
        ConfigError: a value without a meaning.
    """
    for one in ranges:
        values = one.values if one.interval is None else (*one.values[:2], *one.values[-1:], *one.interval)
        for value in values:
            resolve(given={**given, one.name: value}, given_source="--grid")


def setting_name(setting: Mapping[str, Any]) -> str:
    """A setting as a short text, unique among settings of the same parameters."""
    return " ".join(
        f"{name}={value:g}" if isinstance(value, float) and float(f"{value:g}") == value else f"{name}={value}"
        for name, value in setting.items()
    )


@dataclass(frozen=True, kw_only=True)
class EditParts:
    """What an edit is mixed from, as the stages `factors`, `background` and `tokens` give it."""

    removed: Factors
    """Factors of the region that goes, in the original picture."""
    added: Factors
    """Factors of the region that comes, in the edited picture."""
    background: Float[NDArray[Any], "one_or_none dim"]
    """As `svdaudio.svd.mix.background_embedding` gives it."""
    direct: Float[NDArray[Any], " dim"]
    """The edited picture's image embedding."""


@dataclass(frozen=True, kw_only=True)
class MixColumns:
    """Settings of the mix, one array a parameter, each [n_settings]."""

    k: Int[NDArray[Any], " setting"]
    alpha: Float[NDArray[Any], " setting"]
    beta: Float[NDArray[Any], " setting"]
    suppress: Float[NDArray[Any], " setting"]
    boost: Float[NDArray[Any], " setting"]
    background: Float[NDArray[Any], " setting"]
    direct: Float[NDArray[Any], " setting"]

    def __post_init__(self) -> None:
        """Refuse values that have no meaning.

        Raises:
            ConfigError: as `svdaudio.svd.factors.aggregate` and `svdaudio.svd.mix.MixWeights` do for one setting.
        """
        check_scaling(self.k, self.alpha)
        check_scaling(self.k, self.beta)
        weights = np.stack([self.suppress, self.boost, self.background, self.direct])
        if not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise ConfigError("a mixing weight has no meaning", expected="finite numbers >= 0")
        if not weights.any(axis=0).all():
            raise ConfigError("the mix is empty", expected="a mixing weight above 0", got="all 0")

    @property
    def n_settings(self) -> int:
        """How many settings there are."""
        return len(self.k)


def columns(settings: Sequence[Mapping[str, Any]], config: RunConfig) -> MixColumns:
    """Settings as columns; what a setting does not say is as in the configuration.

    Raises:
        ConfigError: a value without a meaning.
    """
    found: dict[str, NDArray[Any]] = {}
    for name, field in zip(MIX_PARAMETERS, fields(MixColumns), strict=True):
        base = config.value(name)
        found[field.name] = np.array(
            [setting.get(name, base) for setting in settings], dtype=np.int64 if name == "svd.k" else np.float64
        )
    return MixColumns(**found)


def mix_many(parts: EditParts, settings: MixColumns) -> Float[NDArray[np.float32], "setting dim"]:
    """Steps 5 to 7 for many settings: what `svdaudio.svd.mix.manipulate` gives for each, to rounding.

    Args:
        parts: of one edit.
        settings: of the mix.

    Returns:
        The embeddings, [n_settings, 768], L2-normalised.

    Raises:
        EmptyRegionError: a setting leaves nothing of a region, or of the mix.
        InputError: parts of different dimensions.
    """
    rest = parts.background[0] if len(parts.background) else np.zeros_like(parts.direct)
    if len({parts.removed.vh.shape[1], parts.added.vh.shape[1], len(parts.direct), len(rest)}) > 1:
        raise InputError("the embeddings to mix have different shapes")
    removed, added = _Region.of(parts.removed), _Region.of(parts.added)
    # [setting, 6]: the first K and the rest of either region, the background, the edited picture.
    shares = np.empty((settings.n_settings, 6))
    for place, region, gains, weights in (
        (0, removed, settings.alpha, settings.suppress),
        (2, added, settings.beta, settings.boost),
    ):
        shares[:, place + 1] = weights / region.lengths(settings.k, gains)
        shares[:, place] = shares[:, place + 1] * gains
    shares[:, 4], shares[:, 5] = settings.background, settings.direct
    shares = shares.astype(np.float32)
    mixed = np.empty((settings.n_settings, len(parts.direct)), np.float32)
    order = np.argsort(settings.k, kind="stable")
    starts = np.flatnonzero(np.diff(settings.k[order], prepend=-1))
    for chosen in np.split(order, starts[1:]):
        k = int(settings.k[chosen[0]])
        vectors = np.stack([*removed.parts(k), *added.parts(k), rest, parts.direct]).astype(np.float32)
        mixed[chosen] = shares[chosen] @ vectors
    lengths = np.sqrt(np.einsum("ij,ij->i", mixed, mixed, dtype=np.float64))
    if not (lengths > 1e-6 * np.abs(shares).max(axis=1)).all():
        raise EmptyRegionError(
            "the mix leaves nothing: its parts cancel out or have no weight", fix="raise a mixing weight"
        )
    mixed /= lengths[:, None].astype(np.float32)
    return mixed


def unscaled(factors: Factors) -> Float[NDArray[np.float32], " dim"]:
    """A region's embedding as it is before anything is suppressed or boosted, L2-normalised."""
    return aggregate(factors, k=1, factor=1.0)


def cosines(
    embeddings: Float[NDArray[np.float32], "setting dim"], anchors: Mapping[str, Float[NDArray[Any], " dim"]]
) -> dict[str, Float[NDArray[np.float32], " setting"]]:
    """Cosine of each embedding with each anchor; all of them are L2-normalised."""
    return {name: embeddings @ anchor.astype(np.float32) for name, anchor in anchors.items()}


@dataclass(frozen=True, kw_only=True)
class _Region:
    """Sums over a region's singular vectors, by where they are cut in two."""

    sums: NDArray[np.float64]
    """[r + 1, dim]: row K is the sum of the first K of cᵢvᵢ."""
    heads: NDArray[np.float64]
    """[r + 1]: the sum of the first K of cᵢ²."""
    tails: NDArray[np.float64]
    """[r + 1]: the sum of the others."""

    @classmethod
    def of(cls, factors: Factors) -> _Region:
        weights = factors.weights.astype(np.float64)
        coefficients = (weights / weights.sum()) @ factors.u.astype(np.float64) * factors.s
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
            raise EmptyRegionError(
                "nothing is left of the region: its singular values were multiplied by 0",
                fix="raise the factor, or lower svd.k below the number of patches",
            )
        return lengths
