"""Adds further sources to the CLAP embedding of a picture whose objects are faded."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.mixing.embeddings import overlay


def run(
    *,
    claps: Mapping[str, Float[NDArray[np.float32], "512"]],
    sources: Mapping[str, Float[NDArray[np.float32], "512"]],
    gains: Mapping[str, float | str],
) -> dict[str, Float[NDArray[np.float32], "512"]]:
    """The embedding of the faded picture together with the sources, at gains in dB."""
    return {"clap": overlay(claps, sources, gains)}
