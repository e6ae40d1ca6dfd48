"""Step 8, diffusion: a CLAP embedding to latents, away from another; each candidate with noise of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.memory_layout import to_tensor
from svdaudio.models.audioldm.diffuser import NegativePromptDiffuser
from svdaudio.models.audioldm.settings import Precision
from svdaudio.tasks.synthesis import diffuse_each

if TYPE_CHECKING:
    from svdaudio.models.audioldm.diffuser import Diffuser


def run(
    *,
    clap: Float[NDArray[np.float32], "512"],
    away: Float[NDArray[np.float32], "512"],
    scheduler: str,
    steps: int,
    guidance_scale: float,
    n_candidates: int,
    duration_s: float,
    seed: int,
    backend: str,
    precision: Precision,
    diffuser: Diffuser,
) -> dict[str, Float[NDArray[np.float32], "candidate 8 frame 16"]]:
    """Latents of unit variance, 25 frames a second."""
    return diffuse_each.run(
        clap=clap,
        scheduler=scheduler,
        steps=steps,
        guidance_scale=guidance_scale,
        n_candidates=n_candidates,
        duration_s=duration_s,
        seed=seed,
        backend=backend,
        precision=precision,
        diffuser=NegativePromptDiffuser(diffuser, to_tensor(away)),
    )
