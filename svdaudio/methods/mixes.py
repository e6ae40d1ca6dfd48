"""The mix of a run of the published method: its parts, its cosines, and its settings as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svdaudio.config import RunConfig
from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.stage import Nodes
from svdaudio.svd.factors import Factors, reach_many
from svdaudio.svd.many import EditParts, MixColumns, cosines, unscaled

MIX_PARAMETERS = ("svd.k", "svd.alpha", "svd.beta", "mix.alpha", "mix.beta", "mix.gamma", "mix.direct")
"""The parameters that need no new factorisation, in the order of the fields of `MixColumns`."""

MIX_WEIGHTS = {
    "alpha_mix": "suppressed region",
    "beta_mix": "boosted region",
    "weight": "region",
    "gamma_mix": "background",
    "direct_mix": "edited picture",
}
"""Local parameter of the mixing stages → the part that it weights."""


def mix_shares(parameters: Mapping[str, float]) -> list[tuple[str, float]]:
    """The parts of a mix, and the share of each in the sum.

    Args:
        parameters: of the mixing stage, by local name; those that are not weights are ignored.
    """
    found = [(MIX_WEIGHTS[name], float(value)) for name, value in parameters.items() if name in MIX_WEIGHTS]
    total = sum(weight for _, weight in found) or 1.0
    return [(name, weight / total) for name, weight in found]


def part_nodes(nodes: Nodes) -> tuple[str, ...]:
    """The nodes that the mix is computed from, and those that it is compared with."""
    return (*nodes["mix"].upstream, "original.tokens")


def edit_parts(arrays: RunArrays) -> EditParts:
    """The parts of the mix of a run."""
    return EditParts(
        **_factors(arrays),
        background=arrays["background"]["embedding"],
        direct=arrays["edited.tokens"]["embedding"],
    )


def mix_anchors(arrays: RunArrays) -> dict[str, NDArray[Any]]:
    """The embeddings that the mix of a run is compared with: both pictures, and the unscaled regions.

    The original is missing if nothing is removed and its plain sound is not generated.
    """
    nodes = {name: f"{name}.tokens" for name in ("original", "edited")}
    pictures = {name: arrays[node]["embedding"] for name, node in nodes.items() if arrays.has(node)}
    return {**pictures, **{name: unscaled(factors) for name, factors in _factors(arrays).items()}}


def _factors(arrays: RunArrays) -> dict[str, Factors]:
    """SVD factors of the regions of a run, "removed" and "added"."""
    nodes = {region: f"{region}.factors" for region in ("removed", "added")}
    return {region: Factors(**arrays[node]) for region, node in nodes.items() if arrays.has(node)}


def mix_cosines(arrays: RunArrays) -> dict[str, float]:
    """Cosine of the mix of a run with each of its anchors."""
    found = cosines(arrays["mix"]["embedding"][None], mix_anchors(arrays))
    return {name: round(float(values[0]), 6) for name, values in found.items()}


def columns(settings: Sequence[Mapping[str, Any]], config: RunConfig) -> MixColumns:
    """Settings as columns; parameters that a setting omits are taken from the configuration.

    Raises:
        ConfigError: a value is invalid.
    """
    found: dict[str, NDArray[Any]] = {}
    for name, field in zip(MIX_PARAMETERS, fields(MixColumns), strict=True):
        base = config.value(name)
        found[field.name] = np.array(
            [setting.get(name, base) for setting in settings], dtype=np.int64 if name == "svd.k" else np.float64
        )
    return MixColumns(**found)


def reaches(parts: EditParts, settings: MixColumns) -> dict[str, NDArray[Any]]:
    """For each setting, the angle in degrees by which a factor moves its region's embedding."""
    regions = {"removed": (parts.removed, settings.alpha), "added": (parts.added, settings.beta)}
    return {
        f"reach_degree.{region}": reach_many(factors, ks=settings.k, gains=gains)[1]
        for region, (factors, gains) in regions.items()
        if factors is not None
    }
