"""CLIP as OpenAI published it: the TorchScript archive ViT-L-14.pt, or the same entries as a plain state dict.

The image tower is kept. The text tower is not needed, but its entries are checked too: a file that lacks some is not
the published one. OpenAI's weights need QuickGELU, which no entry records; weights trained with another activation
(LAION's) have other digests, and are rejected unless the user passes `--trust`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor

from svdaudio.errors import CheckpointError
from svdaudio.models.clip.encoder import (
    EMBEDDING_DIM,
    N_TOKENS,
    ROLE,
    ImageEncoder,
    ImageEncoderConfig,
    build_image_encoder,
)
from svdaudio.process_state import kept_process_state
from svdaudio.weights.quick_copy import Weights, cached
from svdaudio.weights.reading import fill, names, read_plain, read_torchscript, require_file, unreadable
from svdaudio.weights.torch_files import is_torchscript

with kept_process_state():
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

HEAD_WIDTH = 64
VISUAL = "visual."
CONSTANTS = frozenset({"input_resolution", "context_length", "vocab_size"})
"""Three extra numbers in OpenAI's archive."""


def load_image_encoder(path: Path, device: str | torch.device = "cpu", *, digest: str | None = None) -> ImageEncoder:
    """Load the image encoder of a published CLIP.

    Args:
        path: the archive, a state dict saved by torch, or the same as safetensors.
        device: target device.
        digest: sha256 of the file, if it has been checked; then a quick copy is kept beside it.

    Raises:
        CheckpointError: the file is missing or damaged, lacks an entry or has an extra one, or is another CLIP.
    """
    weights = cached(path, name=ROLE, digest=digest, read=lambda: read_visual(path))
    visual = fill(lambda: build_image_encoder(weights.facts), weights.tensors, path)
    return ImageEncoder(visual.requires_grad_(False).to(device))


def read_visual(path: Path) -> Weights:
    """The image tower in float32, with its shape, after checking all entries of the file."""
    state = dict(_read(path))
    for name in CONSTANTS:
        state.pop(name, None)
    with unreadable(path, "the entries of CLIP"):
        shape = _shape(path, state)
        _check_entries(path, state, shape)
    tensors = {
        key.removeprefix(VISUAL): value.detach().float() for key, value in state.items() if key.startswith(VISUAL)
    }
    return Weights(tensors=tensors, facts=asdict(shape))


def _read(path: Path) -> Mapping[str, Tensor]:
    require_file(path)
    if path.suffix == ".safetensors":
        with unreadable(path, "safetensors"):
            return load_file(path)
    if is_torchscript(path):
        return read_torchscript(path)
    contents = read_plain(path)
    nested = contents.get("state_dict")
    if isinstance(nested, Mapping):
        contents = cast("Mapping[str, Any]", nested)
    return {str(key).removeprefix("module."): value for key, value in contents.items() if isinstance(value, Tensor)}


def _shape(path: Path, state: Mapping[str, Tensor]) -> ImageEncoderConfig:
    """The vision transformer's shape, from its entries."""
    try:
        patches, positions = state["visual.conv1.weight"], state["visual.positional_embedding"]
        projection = state["visual.proj"]
    except KeyError as error:
        raise CheckpointError(
            f"the checkpoint {path} is not CLIP's vision transformer", expected=f"an entry {error}", got=names(state)
        ) from error
    width, patch_size = int(patches.shape[0]), int(patches.shape[-1])
    if positions.shape[0] != N_TOKENS or projection.shape[1] != EMBEDDING_DIM:
        raise CheckpointError(
            f"the checkpoint {path} is another CLIP",
            expected=f"ViT-L/14: {N_TOKENS} tokens of {EMBEDDING_DIM}",
            got=f"{positions.shape[0]} tokens of {projection.shape[1]}",
            fix="run `svdaudio checkpoints fetch clip-vit-l-14`",
        )
    return ImageEncoderConfig(
        image_size=patch_size * round((N_TOKENS - 1) ** 0.5),
        patch_size=patch_size,
        width=width,
        layers=sum(key.startswith(VISUAL) and key.endswith(".attn.in_proj_weight") for key in state),
        heads=max(width // HEAD_WIDTH, 1),
        output_dim=EMBEDDING_DIM,
        quick_gelu=True,
    )


def _check_entries(path: Path, state: Mapping[str, Tensor], shape: ImageEncoderConfig) -> None:
    """Check names and shapes of both towers against open_clip's own class on the meta device."""
    try:
        text = CLIPTextCfg(
            context_length=int(state["positional_embedding"].shape[0]),
            vocab_size=int(state["token_embedding.weight"].shape[0]),
            width=int(state["ln_final.weight"].shape[0]),
            heads=max(int(state["ln_final.weight"].shape[0]) // HEAD_WIDTH, 1),
            layers=sum(key.startswith("transformer.") and key.endswith(".attn.in_proj_weight") for key in state),
        )
    except KeyError as error:
        raise CheckpointError(f"the checkpoint {path} lacks entry {error.args[0]}") from error
    vision = CLIPVisionCfg(
        layers=shape.layers, width=shape.width, patch_size=shape.patch_size, image_size=shape.image_size
    )
    with torch.device("meta"):
        model = CLIP(shape.output_dim, vision, text, quick_gelu=True)
    meta = {key: value.to("meta") for key, value in state.items()}
    wanted = model.state_dict()
    fill(lambda: model, {key: _like(meta[key], wanted.get(key)) for key in meta}, path)


def _like(value: Tensor, wanted: Tensor | None) -> Tensor:
    """Accept a vector of one element for a number: OpenAI and older open_clip store the temperature as a number."""
    return value.reshape(wanted.shape) if wanted is not None and value.numel() == wanted.numel() == 1 else value
