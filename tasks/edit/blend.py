"""Mixes the CLAP embeddings of several objects at their levels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.mixing.embeddings import blend


def run(
    *,
    claps: Mapping[str, Float[NDArray[np.float32], "512"]],
    present: Mapping[str, Float[NDArray[np.float32], "object dim"]],
    gains: Mapping[str, float | str],
) -> dict[str, Float[NDArray[np.float32], "512"]]:
    """The mean of the objects' embeddings, weighted by their gains in dB.

    An object that has an entry in `present` counts only if the entry is not empty: something was detected in it.
    """
    heard = {name: clap for name, clap in claps.items() if len(present.get(name, (0,)))}
    return {"clap": blend(heard or claps, gains)}
