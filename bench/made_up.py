"""Made-up weights, the same on every machine, for timings and parity tests, where their values do not matter."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from svdaudio.models.audioldm import naming
from svdaudio.models.audioldm.architecture import AUDIOLDM_S_FULL_V2, Architecture
from svdaudio.models.audioldm.autoencoder import build_autoencoder
from svdaudio.models.audioldm.clap import build_audio_network, build_text_network
from svdaudio.models.audioldm.diffuser import build_unet
from svdaudio.models.audioldm.published import CLAP, SCALE, UNET, UNET_AVERAGE, VAE, VOCODER
from svdaudio.models.audioldm.vocoder import build_vocoder
from svdaudio.models.ssv2a import SSV2A, Config

SCALE_FACTOR = 0.9227914


def made_up_tensor(key: str, shape: Sequence[int]) -> Tensor:
    """Normally distributed numbers, seeded by the entry's name and scaled so that signals neither vanish nor explode.

    A matrix is divided by the root of its row's length; a vector called "weight" is near 1, everything else near 0.
    """
    numbers = torch.randn(tuple(shape), generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))
    if len(shape) >= 2:
        return numbers / math.sqrt(math.prod(shape[1:]))
    return 1 + 0.1 * numbers if len(shape) == 1 and key.endswith("weight") else 0.1 * numbers


def made_up_ssv2a(config: Config | None = None) -> SSV2A:
    """An SSV2A of made-up weights, by default of full size, in evaluation mode."""
    with torch.device("meta"):
        model = SSV2A(config or Config())
    state = {key: made_up_tensor(key, value.shape) for key, value in model.state_dict().items()}
    model.load_state_dict(state, strict=True, assign=True)
    return model.requires_grad_(requires_grad=False).eval()


def made_up_state(build: Callable[[Mapping[str, Any]], nn.Module], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Made-up weights for every tensor of a network; variances are positive, integers are unchanged."""
    with torch.device("meta"):
        shapes = build(config).state_dict()
    state: dict[str, Tensor] = {}
    for name, tensor in shapes.items():
        if tensor.is_floating_point():
            numbers = made_up_tensor(name, tensor.shape)
            state[name] = 1 + numbers.abs() if name.endswith("running_var") else numbers
    if len(state) < len(shapes):
        whole = build(config).state_dict()
        state |= {name: whole[name] for name in shapes if name not in state}
    return state


def made_up_audioldm(architecture: Architecture = AUDIOLDM_S_FULL_V2) -> dict[str, Tensor]:
    """The tensors of the authors' checkpoint of AudioLDM that this project's networks need."""
    noise = made_up_state(build_unet, architecture.unet)
    published = naming.to_published(noise, naming.unet_places(noise, architecture.unet))
    state = {f"{UNET}{name}": torch.zeros(()).expand(tensor.shape) for name, tensor in published.items()}
    state |= {f"{UNET_AVERAGE}{naming.averaged_name(name)}": tensor for name, tensor in published.items()}
    config = {**architecture.autoencoder, "scaling_factor": SCALE_FACTOR}
    parts = (
        (VAE, build_autoencoder, config, partial(naming.autoencoder_places, config=config)),
        (VOCODER, build_vocoder, architecture.vocoder, naming.vocoder_places),
        (CLAP, build_text_network, architecture.text, naming.text_places),
        (CLAP, build_audio_network, architecture.audio, naming.audio_places),
    )
    for prefix, build, settings, places in parts:
        weights = made_up_state(build, settings)
        found = naming.to_published(weights, places(weights))
        state |= {prefix + name: tensor for name, tensor in found.items()}
    state[SCALE] = torch.tensor(SCALE_FACTOR)
    return state


def save_audioldm(path: Path, architecture: Architecture = AUDIOLDM_S_FULL_V2) -> Path:
    """Write a made-up checkpoint in the authors' format."""
    torch.save({"state_dict": made_up_audioldm(architecture)}, path)
    return path
