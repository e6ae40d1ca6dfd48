"""What a diffusion is asked for, as one value that every backend takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from svdaudio.config import check_steps

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class DiffusionSettings:
    """How latents are drawn from a CLAP embedding.

    Raises:
        ConfigError: a number of steps that the scheduler cannot take.
    """

    scheduler: str = "ddim"
    """"ddim" (eta 1) or "dpm-solver++" (second order, Karras spacing of the noise levels)."""
    n_steps: int = 200
    """Denoising steps."""
    guidance_scale: float = 2.5
    """1 follows the condition as trained, and takes half the time; larger follows it more closely."""
    n_candidates: int = 3
    """How many sounds to draw."""
    duration_s: float = 10.0
    """Length of the sound in seconds; latents cover a little more."""
    precision: Precision = "float32"
    """What the noise network's convolutions and matrix products are computed in. Latents, noise and the solver stay
    float32. "bfloat16" gives other numbers, hardly other sounds (docs/audioldm.md)."""

    def __post_init__(self) -> None:
        check_steps(self.scheduler, self.n_steps)
