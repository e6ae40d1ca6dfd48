"""What a run of the published method mixes: the parts, what the mix is compared with, and settings of it as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svdaudio.config import RunConfig
from svdaudio.engine.arrays import RunArrays
from svdaudio.svd.factors import Factors
from svdaudio.svd.many import EditParts, MixColumns, cosines, unscaled

MIX_PARAMETERS = ("svd.k", "svd.alpha", "svd.beta", "mix.alpha", "mix.beta", "mix.gamma", "mix.direct")
"""What can change without a new factorisation, in the order of the fields of `MixColumns`."""
PARTS = ("removed.factors", "added.factors", "background", "original.tokens")
"""The nodes that a mix is made from; `edited.tokens` is above them."""


def edit_parts(arrays: RunArrays) -> EditParts:
    """What the edit of a run is mixed from."""
    removed, added = (Factors(**arrays[f"{region}.factors"]) for region in ("removed", "added"))
    return EditParts(
        removed=removed,
        added=added,
        background=arrays["background"]["embedding"],
        direct=arrays["edited.tokens"]["embedding"],
    )


def mix_anchors(arrays: RunArrays) -> dict[str, NDArray[Any]]:
    """What the mix of a run is compared with: both pictures, and both regions before they are scaled."""
    pictures = {name: arrays[f"{name}.tokens"]["embedding"] for name in ("original", "edited")}
    return {**pictures, **{name: unscaled(Factors(**arrays[f"{name}.factors"])) for name in ("removed", "added")}}


def mix_cosines(arrays: RunArrays) -> dict[str, float]:
    """Cosine of the mix of a run with each of its anchors."""
    found = cosines(arrays["mix"]["embedding"][None], mix_anchors(arrays))
    return {name: round(float(values[0]), 6) for name, values in found.items()}


def columns(settings: Sequence[Mapping[str, Any]], config: RunConfig) -> MixColumns:
    """Settings as columns; what a setting does not say is as in the configuration.

    Raises:
        ConfigError: an invalid value.
    """
    found: dict[str, NDArray[Any]] = {}
    for name, field in zip(MIX_PARAMETERS, fields(MixColumns), strict=True):
        base = config.value(name)
        found[field.name] = np.array(
            [setting.get(name, base) for setting in settings], dtype=np.int64 if name == "svd.k" else np.float64
        )
    return MixColumns(**found)
