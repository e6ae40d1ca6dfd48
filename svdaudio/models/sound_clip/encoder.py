"""The sound encoder: a ResNet-18 that maps mel images of sounds to unit vectors in the space of a CLIP.

The layout is that of Sound-Guided Semantic Image Manipulation (Lee et al. 2022; soundclip/models.py at dfba091): a
convolution turns one channel into three, then timm's `resnet18` with a linear layer to CLIP's dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from svdaudio.errors import CheckpointError, ConfigError
from svdaudio.models.resnet import WIDTHS, ResNet18
from svdaudio.models.sound_clip.spectrogram import PRESETS, Preset
from svdaudio.weights.own import load_module

ROLE = "sound_encoder"
CLIP_DIM = 512


class SoundEncoderNetwork(nn.Module):
    """Maps mel images to embeddings that are not yet normalised.

    Args:
        widths: channels of the ResNet's layers.
        n_dims: size of the space.
    """

    def __init__(self, *, widths: Sequence[int] = WIDTHS, n_dims: int = CLIP_DIM) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.feature_extractor = ResNet18(widths=widths, n_dims=n_dims)

    def forward(self, mel_images: Float[Tensor, "batch 1 128 512"]) -> Float[Tensor, "batch dim"]:
        """Embeddings of images that `spectrogram.mel_images` made."""
        return self.feature_extractor(self.conv(mel_images))


class SoundEncoder:
    """Embeds mel images of sounds in the space of a CLIP.

    Args:
        network: a trained network.
        dim: size of the space.
        preset: preset of the mel images that it was trained on.
    """

    def __init__(self, network: SoundEncoderNetwork, *, dim: int, preset: Preset) -> None:
        self.network = network
        self.dim = dim
        self.preset: Preset = preset

    def check_preset(self, preset: Preset) -> None:
        """Check that mel images have the preset that the network was trained on.

        Raises:
            ConfigError: the encoder was trained with the other preset.
        """
        if preset != self.preset:
            raise ConfigError(
                "the sound encoder was trained with another preset",
                expected=f"hear.preset = {self.preset}",
                got=preset,
                fix=f"use --set hear.preset={self.preset}",
            )

    @torch.inference_mode()
    def embed(
        self, mel_images: Float[NDArray[np.float32], "batch 1 128 512"]
    ) -> Float[NDArray[np.float32], "batch dim"]:
        """Unit vectors of images that `spectrogram.mel_image` made with this encoder's preset."""
        device = next(self.network.parameters()).device
        embeddings = self.network(torch.from_numpy(np.ascontiguousarray(mel_images)).to(device))
        return functional.normalize(embeddings, dim=1).cpu().numpy()


def load_sound_encoder(path: Path, device: str | torch.device = "cpu") -> SoundEncoder:
    """Load a sound encoder from a weight file of this project.

    Raises:
        CheckpointError: the file is missing, damaged, of another role, does not match its own description, or does not
            name its preset.
    """
    network, header = load_module(path, role=ROLE, build=lambda config: SoundEncoderNetwork(**config), device=device)
    preset = header.extra.get("preset")
    if preset not in PRESETS:
        raise CheckpointError(
            f"the checkpoint {path} does not name a preset",
            expected=f"extra preset: {' or '.join(PRESETS)}",
            got=preset,
        )
    return SoundEncoder(network, dim=header.config.get("n_dims", CLIP_DIM), preset=preset)
