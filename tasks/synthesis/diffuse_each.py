"""Step 8, diffusion: a CLAP embedding to latents, each candidate with its own noise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.memory_layout import to_tensor
from svdaudio.models.audioldm.backends import open_backend
from svdaudio.models.audioldm.noise import batches, candidate_noise
from svdaudio.models.audioldm.settings import DiffusionSettings, Precision

if TYPE_CHECKING:
    from svdaudio.models.audioldm.diffuser import Diffuser


def run(
    *,
    clap: Float[NDArray[np.float32], "512"],
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
    settings = DiffusionSettings(
        scheduler=scheduler,
        n_steps=steps,
        guidance_scale=guidance_scale,
        n_candidates=n_candidates,
        duration_s=duration_s,
        precision=precision,
    )
    source, condition = open_backend(backend), to_tensor(clap)
    latents = [
        source.diffuse(
            diffuser, condition, replace(settings, n_candidates=len(batch)), noise=candidate_noise(seed, batch)
        )
        for batch in batches(n_candidates)
    ]
    return {"latents": torch.cat(latents).numpy()}
