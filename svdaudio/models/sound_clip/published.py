"""The sound encoder of Sound-Guided Semantic Image Manipulation as its authors published it: resnet18_57.pth.

A plain state dict of 124 entries, with the prefix `module.` if it was trained on several GPUs. It belongs to OpenAI's
CLIP ViT-B/32, and to mel images of the preset "published".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from svdaudio.models.sound_clip.encoder import CLIP_DIM, ROLE, SoundEncoder, SoundEncoderNetwork
from svdaudio.weights.quick_copy import Weights, cached
from svdaudio.weights.reading import fill, read_plain, require_file

PREFIX = "module."


def load_sound_encoder(path: Path, device: str | torch.device = "cpu", *, digest: str | None = None) -> SoundEncoder:
    """Load the published sound encoder.

    Args:
        path: the state dict.
        device: target device.
        digest: sha256 of the file, if it has been checked; then a quick copy is kept next to it.

    Raises:
        CheckpointError: the file is missing or damaged, lacks an entry or has an extra one, or one has the wrong shape.
    """
    weights = cached(path, name=ROLE, digest=digest, read=lambda: read_network(path))
    network = fill(SoundEncoderNetwork, weights.tensors, path)
    return SoundEncoder(network.requires_grad_(False).to(device), dim=CLIP_DIM, preset="published")


def read_network(path: Path) -> Weights:
    """Read all entries of the file, without the prefix, and check them."""
    require_file(path)
    state: dict[str, Any] = {str(key).removeprefix(PREFIX): value for key, value in read_plain(path).items()}
    with torch.device("meta"):
        network = SoundEncoderNetwork()
    meta = {key: value.to("meta") if isinstance(value, Tensor) else value for key, value in state.items()}
    fill(lambda: network, meta, path)
    return Weights(tensors={key: v.float() if v.is_floating_point() else v for key, v in state.items()})
