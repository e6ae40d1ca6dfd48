"""Maps CLIP embeddings to CLAP embeddings with an MLP like that of V2A-Mapper (Wang et al. 2024, arXiv 2308.09300).

One vector in, one vector out: all objects of a picture are represented by its single CLIP embedding.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from svdaudio.memory_layout import to_tensor
from svdaudio.weights.own import load_module

ROLE = "mapper"


class MapperNetwork(nn.Module):
    """Maps CLIP embeddings to CLAP embeddings of unit length.

    Args:
        n_in: size of CLIP's space.
        n_hidden: width of both hidden layers.
        n_out: size of CLAP's space.
    """

    def __init__(self, *, n_in: int = 768, n_hidden: int = 512, n_out: int = 512) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_in, n_hidden), nn.GELU(), nn.Linear(n_hidden, n_hidden), nn.GELU(), nn.Linear(n_hidden, n_out)
        )

    def forward(self, embeddings: Float[Tensor, "batch n_in"]) -> Float[Tensor, "batch n_out"]:
        """Unit vectors."""
        return functional.normalize(self.layers(embeddings), dim=1)


class Mapper:
    """Maps CLIP embeddings of pictures to CLAP embeddings."""

    def __init__(self, network: MapperNetwork) -> None:
        self.network = network

    @torch.inference_mode()
    def map(self, embedding: Float[NDArray[np.float32], " n_in"]) -> Float[NDArray[np.float32], " n_out"]:
        """The CLAP embedding of a CLIP embedding; both have unit length."""
        device = next(self.network.parameters()).device
        return self.network(to_tensor(embedding)[None].to(device))[0].cpu().numpy()


def load_mapper(path: Path, device: str | torch.device = "cpu") -> Mapper:
    """Load a mapper from a weight file of this project.

    Raises:
        CheckpointError: the file is missing, damaged, of another role, or does not match its own description.
    """
    return Mapper(load_module(path, role=ROLE, build=lambda config: MapperNetwork(**config), device=device)[0])
