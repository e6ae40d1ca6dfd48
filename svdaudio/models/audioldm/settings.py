"""Settings of the diffusion, shared by all backends, and the available backends."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Literal

from svdaudio.config import check_steps
from svdaudio.errors import ConfigError
from svdaudio.places import checkout, install_advice

Precision = Literal["float32", "bfloat16"]
BackendName = Literal["diffusers", "audioldm"]
N_TOGETHER = 3
"""Number of candidates that draw noise together, and that are computed together if there are that many."""
BACKENDS: tuple[BackendName, ...] = ("diffusers", "audioldm")


@dataclass(frozen=True, kw_only=True)
class DiffusionSettings:
    """How latents are generated from a CLAP embedding.

    Raises:
        ConfigError: the scheduler does not support the number of steps.
    """

    scheduler: str = "ddim"
    """"ddim" (eta 1), "dpm-solver++" (second order, Karras spacing of the noise levels), or "ddpm" (with 1000 steps it
    uses every noise level, as in published CIAP)."""
    n_steps: int = 200
    """Denoising steps."""
    guidance_scale: float = 2.5
    """1 follows the condition as trained, in half the time; larger values follow it more closely."""
    n_candidates: int = 3
    """Number of sounds to generate."""
    duration_s: float = 10.0
    """Length of the sound in seconds; latents cover a little more."""
    precision: Precision = "float32"
    """Precision of the noise network's convolutions and matrix products. Latents, noise and the solver stay
    float32. "bfloat16" changes the numbers, but hardly the sounds (docs/audioldm.md)."""

    def __post_init__(self) -> None:
        check_steps(self.scheduler, self.n_steps)


def check_backend(name: str, scheduler: str = "ddim") -> None:
    """Check that a backend can be used, before any computation. Imports nothing.

    Raises:
        ConfigError: the backend is unknown, its package is not installed, or it lacks the scheduler.
    """
    if name not in BACKENDS:
        raise ConfigError("unknown backend", expected=" or ".join(BACKENDS), got=name)
    if name == "audioldm" and importlib.util.find_spec("audioldm") is None:
        raise ConfigError(
            "the package audioldm is not installed",
            # pip refuses audioldm with a current numpy; in a checkout uv overrides what it pins.
            fix=(install_advice("audioldm") if checkout() else "work in a checkout of svdaudio")
            + ", or set generate.backend to diffusers",
        )
    if name == "audioldm" and scheduler != "ddim":
        raise ConfigError(
            "the package audioldm does not support this scheduler",
            expected="ddim",
            got=scheduler,
            fix="use --set generate.scheduler=ddim",
        )
