"""Fades objects of a picture in its CLAP embedding."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.mixing.embeddings import fade


def run(
    *, claps: Mapping[str, Float[NDArray[np.float32], "512"]], gains: Mapping[str, float | str]
) -> dict[str, Float[NDArray[np.float32], "512"]]:
    """Interpolates between the embeddings of the picture without some of its objects, by gains in dB."""
    return {"clap": fade(claps, gains)}
