"""Step 8b: latent diffusion of a batch of candidates from a CLAP embedding.

As published: DDIM with eta 1, classifier-free guidance. Where 200 steps are too slow, DPM-Solver++ (arXiv 2211.01095)
produces nearly the same sounds in 20 to 50 steps. Upstream always seeds its noise with 42; here all noise comes from
the given source.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from svdaudio.errors import ConfigError
from svdaudio.models.audioldm.diffuser import SCHEDULE, Diffuser
from svdaudio.models.audioldm.diffusers_parts import DDIMScheduler, DPMSolverMultistepScheduler
from svdaudio.models.audioldm.noise import Noise
from svdaudio.models.audioldm.settings import DiffusionSettings, Precision

SCHEDULERS = ("ddim", "dpm-solver++", "ddpm")
N_CHANNELS, N_BANDS = 8, 16
LATENTS_PER_SECOND = 25.0  # 100 mel frames per second, a quarter of that after the VAE
_TIME_MULTIPLE = 8  # the UNet halves time three times
ETA = 1.0


def n_latent_frames(duration_s: float) -> int:
    """Latent frames for at least `duration_s` of sound, in AudioLDM's units of 2.56 s / 8: 256 for 10 s."""
    return math.ceil(duration_s * LATENTS_PER_SECOND / _TIME_MULTIPLE) * _TIME_MULTIPLE


@torch.inference_mode()
def diffuse(
    diffuser: Diffuser,
    clap: Float[Tensor, "512"],
    settings: DiffusionSettings,
    *,
    noise: Noise,
) -> Float[Tensor, "candidate 8 time 16"]:
    """Latents of unit variance, one row per candidate.

    Args:
        diffuser: noise network and the embedding of the empty text.
        clap: the target CLAP embedding, unit length.
        settings: of the diffusion.
        noise: source of all random numbers.

    Raises:
        ConfigError: unknown scheduler.
    """
    device = diffuser.unconditional.device
    n_candidates, guidance_scale = settings.n_candidates, settings.guidance_scale
    shape = (n_candidates, N_CHANNELS, n_latent_frames(settings.duration_s), N_BANDS)
    latents = noise(shape).to(device)
    steps = scheduler_of(settings.scheduler)
    with warnings.catch_warnings():
        # diffusers passes tensors to numpy 2 in a deprecated way; users cannot do anything about it.
        warnings.filterwarnings("ignore", category=DeprecationWarning, message="__array__ implementation")
        steps.set_timesteps(settings.n_steps)
    if device.type == "cuda":
        network: Any = diffuser.unet
        network.to(memory_format=torch.channels_last)  # the layout that tensor cores need for convolutions
    unguided = guidance_scale == 1.0
    condition = clap.to(device)[None] if unguided else torch.stack([diffuser.unconditional, clap.to(device)])
    conditions = condition.repeat_interleave(n_candidates, dim=0)
    for time in steps.timesteps:
        with reduced_precision(device, settings.precision):
            predicted = diffuser.noise(latents if unguided else torch.cat([latents, latents]), time, conditions).float()
        if unguided:
            estimate = predicted
        else:
            plain, guided = predicted.chunk(2)
            estimate = plain + guidance_scale * (guided - plain)
        if isinstance(steps, DDIMScheduler):
            fresh = noise(shape).to(device)
            latents = steps.step(estimate, int(time), latents, eta=ETA, variance_noise=fresh, return_dict=False)[0]
        else:
            latents = steps.step(estimate, int(time), latents, return_dict=False)[0]
    return latents.cpu()


def reduced_precision(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[Any]:
    """Context in which matrix products and convolutions use `precision`; operations that need float32 still use it."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def scheduler_of(name: str) -> DDIMScheduler | DPMSolverMultistepScheduler:
    """The sampler of the given name, with AudioLDM's noise schedule."""
    if name == "ddim":
        return DDIMScheduler(**SCHEDULE, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    if name == "dpm-solver++":
        return DPMSolverMultistepScheduler(**SCHEDULE, algorithm_type="dpmsolver++", use_karras_sigmas=True)
    if name == "ddpm":
        # Ho et al. 2020: DDIM with eta 1 draws from DDPM's posterior; the last step ends at a clean sound.
        return DDIMScheduler(**SCHEDULE, clip_sample=False, set_alpha_to_one=True, steps_offset=0)
    raise ConfigError("unknown scheduler", expected=" or ".join(SCHEDULERS), got=name)
