"""Step 8, diffusion: a CLAP embedding to latents, with all candidates in one batch and their noise drawn together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.memory_layout import to_tensor
from svdaudio.models.audioldm.backends import open_backend
from svdaudio.models.audioldm.noise import joint_noise
from svdaudio.models.audioldm.settings import DiffusionSettings, Precision
from svdaudio.randomness import stage_generator

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
    noise = joint_noise(stage_generator(seed, "diffuse"))
    latents = open_backend(backend).diffuse(diffuser, to_tensor(clap), settings, noise=noise)
    return {"latents": latents.numpy()}
