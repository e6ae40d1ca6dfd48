"""The CLAP embedding of a picture whose objects are faded."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.mixing.embeddings import fade


def run(
    *, claps: Mapping[str, Float[NDArray[np.float32], "512"]], gains: Mapping[str, float | str]
) -> dict[str, Float[NDArray[np.float32], "512"]]:
    """The embedding between those of the picture without some of its objects, at gains in dB."""
    return {"clap": fade(claps, gains)}
