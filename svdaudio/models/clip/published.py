"""CLIP as OpenAI published it: a TorchScript archive such as ViT-L-14.pt, or the same entries as a plain state dict.

The image encoder is the image tower of ViT-L/14; a guide has both towers of any of OpenAI's vision transformers. In
either case all entries of a file are checked, and a file that lacks some is rejected. OpenAI's weights need QuickGELU,
which no entry records; weights trained with another activation (LAION's) have other digests, and are rejected unless
the user passes `--trust`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor

from svdaudio.errors import CheckpointError, ConfigError
from svdaudio.models.clip.encoder import (
    EMBEDDING_DIM,
    N_TOKENS,
    ROLE,
    ImageEncoder,
    ImageEncoderConfig,
    build_image_encoder,
)
from svdaudio.models.clip.guide import ROLE as GUIDE
from svdaudio.models.clip.guide import Guide
from svdaudio.process_state import kept_process_state
from svdaudio.weights.quick_copy import Weights, cached
from svdaudio.weights.reading import fill, names, read_plain, read_torchscript, require_file, unreadable
from svdaudio.weights.torch_files import is_torchscript

with kept_process_state():
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
    from open_clip.tokenizer import SimpleTokenizer

HEAD_WIDTH = 64
VISUAL = "visual."
CONSTANTS = frozenset({"input_resolution", "context_length", "vocab_size"})
"""Three extra numbers in OpenAI's archive."""


def load_image_encoder(path: Path, device: str | torch.device = "cpu", *, digest: str | None = None) -> ImageEncoder:
    """Load the image encoder of a published CLIP.

    Args:
        path: the archive, or a state dict saved by torch or as safetensors.
        device: target device.
        digest: sha256 of the file, if it has been checked; then a quick copy is kept next to it.

    Raises:
        CheckpointError: the file is missing or damaged, lacks an entry or has an extra one, or is the wrong CLIP.
    """
    weights = cached(path, name=ROLE, digest=digest, read=lambda: read_visual(path))
    visual = fill(lambda: build_image_encoder(weights.facts), weights.tensors, path)
    return ImageEncoder(visual.requires_grad_(False).to(device))


def load_guide(path: Path, device: str | torch.device = "cpu", *, digest: str | None = None) -> Guide:
    """Load a published CLIP with both towers.

    Args:
        path: as of `load_image_encoder`.
        device: target device.
        digest: as of `load_image_encoder`.

    Raises:
        CheckpointError: the file is missing or damaged, lacks an entry or has an extra one.
    """
    weights = cached(path, name=GUIDE, digest=digest, read=lambda: read_both(path))
    vision, text = ImageEncoderConfig(**weights.facts["vision"]), CLIPTextCfg(**weights.facts["text"])
    model = fill(lambda: _clip(vision, text), weights.tensors, path).requires_grad_(False).to(device)

    def embed_texts(texts: Sequence[str]) -> Tensor:
        return model.encode_text(_tokens(texts, text.context_length).to(device))

    return Guide(model, embed_texts)


def read_visual(path: Path) -> Weights:
    """Read the image tower of ViT-L/14 in float32, with its shape, after checking all entries of the file."""
    state = _entries(path)
    with unreadable(path, "the entries of CLIP"):
        shape = _vision_shape(path, state)
        n_tokens = (shape.image_size // shape.patch_size) ** 2 + 1
        if (n_tokens, shape.output_dim) != (N_TOKENS, EMBEDDING_DIM):
            raise CheckpointError(
                f"the checkpoint {path} is the wrong CLIP",
                expected=f"ViT-L/14: {N_TOKENS} tokens of {EMBEDDING_DIM}",
                got=f"{n_tokens} tokens of {shape.output_dim}",
                fix="run `svdaudio checkpoints fetch clip-vit-l-14`",
            )
        _check_entries(path, state, shape, _text_shape(path, state))
    tensors = {
        key.removeprefix(VISUAL): value.detach().float() for key, value in state.items() if key.startswith(VISUAL)
    }
    return Weights(tensors=tensors, facts=asdict(shape))


def read_both(path: Path) -> Weights:
    """Read both towers in float32, with their shapes, after checking all entries of the file."""
    state = _entries(path)
    with unreadable(path, "the entries of CLIP"):
        shape, text = _vision_shape(path, state), _text_shape(path, state)
        entries = _check_entries(path, state, shape, text)
    tensors = {key: _like(value.detach().float(), entries[key]) for key, value in state.items()}
    of_text = {name: getattr(text, name) for name in ("context_length", "vocab_size", "width", "heads", "layers")}
    return Weights(tensors=tensors, facts={"vision": asdict(shape), "text": of_text})


def read_patch_size(path: Path) -> int:
    """Side of the image tower's patches in pixels: 14 in ViT-L/14, 32 in ViT-B/32.

    Raises:
        CheckpointError: the file is missing or damaged, or has no such tower.
    """
    return _vision_shape(path, _read(path)).patch_size


def _entries(path: Path) -> dict[str, Tensor]:
    return {key: value for key, value in _read(path).items() if key not in CONSTANTS}


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


def _vision_shape(path: Path, state: Mapping[str, Tensor]) -> ImageEncoderConfig:
    """The vision transformer's shape, from its entries."""
    try:
        patches, positions = state["visual.conv1.weight"], state["visual.positional_embedding"]
        projection = state["visual.proj"]
    except KeyError as error:
        raise CheckpointError(
            f"the checkpoint {path} has no vision transformer of CLIP", expected=f"an entry {error}", got=names(state)
        ) from error
    width, patch_size = int(patches.shape[0]), int(patches.shape[-1])
    return ImageEncoderConfig(
        image_size=patch_size * round((positions.shape[0] - 1) ** 0.5),
        patch_size=patch_size,
        width=width,
        layers=sum(key.startswith(VISUAL) and key.endswith(".attn.in_proj_weight") for key in state),
        heads=max(width // HEAD_WIDTH, 1),
        output_dim=int(projection.shape[1]),
        quick_gelu=True,
    )


def _text_shape(path: Path, state: Mapping[str, Tensor]) -> CLIPTextCfg:
    """The text transformer's shape, from its entries."""
    try:
        width = int(state["ln_final.weight"].shape[0])
        return CLIPTextCfg(
            context_length=int(state["positional_embedding"].shape[0]),
            vocab_size=int(state["token_embedding.weight"].shape[0]),
            width=width,
            heads=max(width // HEAD_WIDTH, 1),
            layers=sum(key.startswith("transformer.") and key.endswith(".attn.in_proj_weight") for key in state),
        )
    except KeyError as error:
        raise CheckpointError(f"the checkpoint {path} lacks entry {error.args[0]}") from error


def _check_entries(
    path: Path, state: Mapping[str, Tensor], shape: ImageEncoderConfig, text: CLIPTextCfg
) -> Mapping[str, Tensor]:
    """Check names and shapes of both towers against open_clip's class on the meta device, and return its entries."""
    with torch.device("meta"):
        model = _clip(shape, text)
    entries = model.state_dict()
    fill(lambda: model, {key: _like(value.to("meta"), entries.get(key)) for key, value in state.items()}, path)
    return entries


def _clip(shape: ImageEncoderConfig, text: CLIPTextCfg) -> CLIP:
    """open_clip's own class for both towers."""
    vision = CLIPVisionCfg(
        layers=shape.layers, width=shape.width, patch_size=shape.patch_size, image_size=shape.image_size
    )
    return CLIP(shape.output_dim, vision, text, quick_gelu=True)


@cache
def _tokenizer() -> SimpleTokenizer:
    """OpenAI's tokenizer; open_clip ships its vocabulary."""
    return SimpleTokenizer()


def _tokens(texts: Sequence[str], n_context: int) -> Tensor:
    """Tokens of texts, [n, n_context].

    Raises:
        ConfigError: a text has too many tokens; open_clip would cut it.
    """
    tokenizer = _tokenizer()
    for text in texts:
        n_tokens = len(tokenizer.encode(text)) + 2
        if n_tokens > n_context:
            raise ConfigError(
                f"the text {text[:60]!r} is too long", expected=f"at most {n_context} tokens", got=n_tokens
            )
    return tokenizer(list(texts), n_context)


def _like(value: Tensor, model: Tensor | None) -> Tensor:
    """Give a single value the shape of `model`: OpenAI and older open_clip store the temperature as a scalar."""
    return value.reshape(model.shape) if model is not None and value.numel() == model.numel() == 1 else value
