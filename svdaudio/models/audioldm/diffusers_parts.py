"""The parts of diffusers that are used here, imported without the rest of the package."""

from __future__ import annotations

from svdaudio.deferred_imports import deferred_imports

POSTPONED_PACKAGES = (
    "diffusers.hooks",
    "diffusers.models.autoencoders",
    "diffusers.models.transformers",
    "diffusers.models.unets",
)
"""Packages whose `__init__` imports every network of a kind."""
POSTPONED_MODULES = ("transformers", "peft", "scipy.integrate", "scipy.stats", "requests")
"""Modules that diffusers imports only for annotations, type checks, and functions that are not called here."""

with deferred_imports(packages=POSTPONED_PACKAGES, modules=POSTPONED_MODULES):
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

__all__ = ["AutoencoderKL", "DDIMScheduler", "DPMSolverMultistepScheduler", "UNet2DConditionModel"]
