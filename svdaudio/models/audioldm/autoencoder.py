"""AudioLDM's VAE on diffusers' `AutoencoderKL`: latents [8, frames / 4, 16] to log-mel [frames, 64]."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from svdaudio.models.audioldm.diffusers_parts import AutoencoderKL
from svdaudio.weights.own import load_module


def build_autoencoder(config: Mapping[str, Any]) -> AutoencoderKL:
    """Build the network from the keyword arguments of diffusers' class, including `scaling_factor`."""
    return AutoencoderKL(**config)


def load_autoencoder(path: Path, device: str | torch.device = "cpu") -> AutoencoderKL:
    """Load a VAE from a weight file of this project.

    Raises:
        CheckpointError: the file is missing, damaged, of another role, or does not match its own description.
    """
    return load_module(path, role="autoencoder", build=build_autoencoder, device=device)[0]


@torch.inference_mode()
def decode(autoencoder: AutoencoderKL, latents: Float[Tensor, "batch 8 time 16"]) -> Float[Tensor, "batch frame 64"]:
    """Decode latents from diffusion (unit variance) to log-mel spectrograms, one at a time to save memory."""
    network: Any = autoencoder  # diffusers' annotations include tuples that are never returned
    device = next(autoencoder.parameters()).device
    scale = float(network.config["scaling_factor"])
    return torch.cat([network.decode(one[None].to(device) / scale).sample[:, 0].cpu() for one in latents])


def encode(autoencoder: AutoencoderKL, mel: Float[Tensor, "batch frame 64"]) -> Float[Tensor, "batch 8 time 16"]:
    """Encode log-mel spectrograms as mean latents, not yet scaled to unit variance; keeps gradients."""
    network: Any = autoencoder
    return network.encode(mel.unsqueeze(1)).latent_dist.mean


@torch.no_grad()
def reconstruct(autoencoder: AutoencoderKL, mels: Float[Tensor, "batch frame 64"]) -> Float[Tensor, "batch frame 64"]:
    """Log-mel spectrograms as the VAE reconstructs them, one at a time to save memory."""
    network: Any = autoencoder
    scale = float(network.config["scaling_factor"])
    return torch.cat([decode(autoencoder, scale * encode(autoencoder, mel[None])) for mel in mels])
