"""CIAP's image encoder: ResNet-18, a linear projection and a layer norm; the output is a unit vector of 512 numbers.

As in the published code (luffy-taro-106/IE-643 at b6ffb64, AudioLDM/audioldm/ciap), a picture is stretched to a square
by Pillow's bilinear filter, scaled to 0..1, and not normalised otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from svdaudio.models.resnet import WIDTHS, ResNet18
from svdaudio.svd.geometry import Geometry, fit_image
from svdaudio.svd.images import Pixels
from svdaudio.weights.own import load_module

ROLE = "ciap_image_encoder"
CLAP_DIM = 512
IMAGE_SIZE_PX = 224
LEAST_NORM = 1e-8
"""Added to the norm that embeddings are divided by, as published."""


class CiapNetwork(nn.Module):
    """Maps pictures to embeddings that are not yet normalised.

    Args:
        widths: channels of the ResNet's layers.
        image_size: side of the pictures in pixels.
        layer_norm: whether a layer norm follows the projection; an older published form has none.
    """

    def __init__(
        self, *, widths: Sequence[int] = WIDTHS, image_size: int = IMAGE_SIZE_PX, layer_norm: bool = True
    ) -> None:
        super().__init__()
        self.image_size = image_size
        self.backbone = ResNet18(widths=widths)
        self.proj = nn.Linear(widths[-1], CLAP_DIM)
        self.ln = nn.LayerNorm(CLAP_DIM) if layer_norm else nn.Identity()

    def forward(self, pictures: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch 512"]:
        """Embeddings of pictures with values in 0..1."""
        return self.ln(self.proj(self.backbone(pictures)))


def unit(embeddings: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
    """Embeddings scaled to unit length, up to `LEAST_NORM`."""
    return embeddings / (embeddings.norm(dim=1, keepdim=True) + LEAST_NORM)


def as_input(squares: UInt8[NDArray[np.uint8], "batch side side 3"]) -> Float[Tensor, "batch 3 side side"]:
    """Square pictures in the network's input format: 0..1, channels first."""
    return torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255


class CiapImageEncoder:
    """Embeds pictures in AudioLDM's CLAP space."""

    def __init__(self, network: CiapNetwork) -> None:
        self.network = network

    @torch.inference_mode()
    def embed(self, pictures: Sequence[Pixels], geometry: Geometry) -> Float[NDArray[np.float32], "picture 512"]:
        """Unit vectors of pictures of any size.

        Args:
            pictures: [height, width, 3] uint8 each.
            geometry: how they are made square; the published encoder stretches them.
        """
        device = next(self.network.parameters()).device
        size_px, resampling = self.network.image_size, Image.Resampling.BILINEAR
        squares = np.stack([fit_image(pixels, geometry, size_px, resampling) for pixels in pictures])
        return unit(self.network(as_input(squares).to(device))).cpu().numpy()


def load_image_encoder(path: Path, device: str | torch.device = "cpu") -> CiapImageEncoder:
    """Load CIAP's image encoder from a weight file of this project.

    Raises:
        CheckpointError: the file is missing, damaged, of another role, or does not match its own description.
    """
    return CiapImageEncoder(load_module(path, role=ROLE, build=lambda config: CiapNetwork(**config), device=device)[0])
