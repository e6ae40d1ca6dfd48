"""AudioLDM's noise network on diffusers' `UNet2DConditionModel`, conditioned on a CLAP embedding alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor

from svdaudio.weights import load_weights

N_TRAIN_STEPS = 1000
BETA_START, BETA_END = 0.0015, 0.0195
SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": N_TRAIN_STEPS,
    "beta_start": BETA_START,
    "beta_end": BETA_END,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
}


def build_unet(config: Mapping[str, Any]) -> UNet2DConditionModel:
    """The network from the keyword arguments of diffusers' class.

    The CLAP embedding enters through `class_embed_type="simple_projection"`, concatenated to the time embedding;
    there are no encoder states, so the second attention of each block attends to the latents themselves.
    """
    return UNet2DConditionModel(**config)


@dataclass(frozen=True, kw_only=True)
class Diffuser:
    """The noise network and what stands for "no condition".

    Attributes:
        unet: predicts the noise of latents [batch, 8, time, 16].
        unconditional: [512] unit vector, the CLAP embedding of the empty text; one constant per checkpoint.
    """

    unet: UNet2DConditionModel
    unconditional: Float[Tensor, "512"]


def load_diffuser(path: Path, device: torch.device) -> Diffuser:
    """Load a weight file of this project, in eval mode."""
    state, header = load_weights(path, role="diffuser")
    unconditional = state.pop("unconditional")
    unet = build_unet(header.config)
    unet.load_state_dict(state)
    return Diffuser(unet=unet.eval().to(device), unconditional=torch.nn.functional.normalize(unconditional, dim=0).to(device))
