"""AudioLDM's noise network on diffusers' `UNet2DConditionModel`, conditioned only on a CLAP embedding."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from svdaudio.errors import ConfigError
from svdaudio.models.audioldm.diffusers_parts import UNet2DConditionModel
from svdaudio.process_state import import_quietly
from svdaudio.weights.own import load_module

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
    """Build the network from the keyword arguments of diffusers' class.

    The CLAP embedding enters through `class_embed_type="simple_projection"`, concatenated to the time embedding;
    without encoder states, the second attention of each block attends to the latents themselves.
    """
    return UNet2DConditionModel(**config)


class Diffuser(nn.Module):
    """The noise network and the embedding that represents "no condition".

    Attributes:
        unet: predicts the noise of latents [batch, 8, time, 16].
        unconditional: [512] unit vector, the CLAP embedding of the empty text; one constant per checkpoint.
    """

    unconditional: Tensor

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.unet = build_unet(config)
        self.register_buffer("unconditional", torch.zeros(config["projection_class_embeddings_input_dim"]))

    def compile_noise(self) -> None:
        """Have torch compile the noise network on its first run, for faster later ones; results differ by rounding.

        Raises:
            ConfigError: the device is the CPU, and no C++ compiler is installed.
        """
        compilers = (os.environ.get("CXX", "g++"), "clang++")
        if self.unconditional.device.type == "cpu" and not any(shutil.which(each) for each in compilers):
            raise ConfigError(
                "the noise network cannot be compiled",
                expected="a C++ compiler (g++ or clang++)",
                got="none",
                fix="install one, or set execution.compile to false",
            )
        import_quietly("torch._dynamo")
        self.unet.compile()

    def noise(
        self, latents: Float[Tensor, "batch 8 time 16"], step: Tensor, clap: Float[Tensor, "batch 512"]
    ) -> Float[Tensor, "batch 8 time 16"]:
        """The noise in `latents` at diffusion steps `step`, [] or [batch], 0..999."""
        predicted: Any = self.unet(latents, step, None, class_labels=clap)
        return predicted.sample


class NegativePromptDiffuser(Diffuser):
    """A noise network with a negative prompt: an embedding that replaces that of the empty text.

    Classifier-free guidance then leads away from that embedding.

    Args:
        diffuser: provides the noise network, which is shared.
        clap: the CLAP embedding to lead away from, a unit vector.
    """

    def __init__(self, diffuser: Diffuser, clap: Float[Tensor, "512"]) -> None:
        nn.Module.__init__(self)
        self.unet = diffuser.unet
        self.register_buffer("unconditional", clap.to(diffuser.unconditional))


def load_diffuser(path: Path, device: str | torch.device = "cpu") -> Diffuser:
    """Load a diffuser from a weight file of this project.

    Raises:
        CheckpointError: the file is missing, damaged, of another role, or does not match its own description.
    """
    model = load_module(path, role="diffuser", build=Diffuser, device=device)[0]
    model.unconditional = functional.normalize(model.unconditional, dim=0)
    return model
