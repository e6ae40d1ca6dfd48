"""Step 8, the bridge to sound: CLIP embeddings to one CLAP embedding, by SSV2A."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.models.ssv2a.remix import RemixSettings, remix
from svdaudio.randomness import stage_generator

if TYPE_CHECKING:
    from svdaudio.models.ssv2a import SSV2A


def run(
    *,
    embedding: Float[NDArray[np.float32], " dim"],
    locals: Float[NDArray[np.float32], "object dim"],  # noqa: A002 - the input's name is part of every key
    cycle_its: int,
    cycle_samples: int,
    var_samples: int,
    seed: int,
    ssv2a: SSV2A,
) -> dict[str, Float[NDArray[np.float32], " clap"]]:
    """The CLAP embedding [512] of the sound of a global embedding and its objects."""
    settings = RemixSettings(cycle_its=cycle_its, cycle_samples=cycle_samples, var_samples=var_samples)
    generator = stage_generator(seed, "remix")
    return {"clap": remix(ssv2a, embedding=embedding, objects=locals, settings=settings, generator=generator)}
