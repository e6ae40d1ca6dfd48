"""The architecture of AudioLDM-s-full-v2, as the arguments that build each of its networks.

The authors' checkpoint holds only weights; their sizes are in the accompanying code. A diffusers folder includes its
sizes. Both describe the same five networks of diffusers and transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Keyword arguments (diffusers) or configuration values (transformers) of each network."""

    unet: Mapping[str, Any]
    """Arguments of `UNet2DConditionModel`."""
    autoencoder: Mapping[str, Any]
    """Arguments of `AutoencoderKL`, without `scaling_factor`, which is learned and stored with the weights."""
    vocoder: Mapping[str, Any]
    """Values of `SpeechT5HifiGanConfig`."""
    text: Mapping[str, Any]
    """Values of `ClapTextConfig`: RoBERTa and a projection."""
    audio: Mapping[str, Any]
    """Values of `ClapAudioConfig`: HTS-AT and a projection."""


HEAD_CHANNELS = 32
"""Channels of every attention head of the UNet, however wide the level is."""


def unet_config(base: int, multiples: tuple[int, ...] = (1, 2, 3, 5), n_layers: int = 2) -> dict[str, Any]:
    """Arguments of a UNet: no attention at the first level, heads of 32 channels at all others."""
    widths = [base * multiple for multiple in multiples]
    return {
        "sample_size": [256, 16],
        "in_channels": 8,
        "out_channels": 8,
        "block_out_channels": widths,
        "layers_per_block": n_layers,
        "down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * (len(widths) - 1),
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "up_block_types": ["CrossAttnUpBlock2D"] * (len(widths) - 1) + ["UpBlock2D"],
        "cross_attention_dim": widths,
        # despite its name, diffusers takes this as the number of heads
        "attention_head_dim": [width // HEAD_CHANNELS for width in widths],
        "class_embed_type": "simple_projection",
        "projection_class_embeddings_input_dim": 512,
        "class_embeddings_concat": True,
    }


def autoencoder_config(base: int, multiples: tuple[int, ...] = (1, 2, 4), n_layers: int = 2) -> dict[str, Any]:
    """Arguments of a VAE: log-mel [1, 1024, 64] to latents [8, 256, 16] and back."""
    return {
        "sample_size": 1024,
        "in_channels": 1,
        "out_channels": 1,
        "block_out_channels": [base * multiple for multiple in multiples],
        "layers_per_block": n_layers,
        "down_block_types": ["DownEncoderBlock2D"] * len(multiples),
        "up_block_types": ["UpDecoderBlock2D"] * len(multiples),
        "latent_channels": 8,
    }


def vocoder_config(n_channels: int) -> dict[str, Any]:
    """Values of a HiFi-GAN: 64 mel bands to 160 samples per frame."""
    return {
        "model_in_dim": 64,
        "sampling_rate": 16_000,
        "upsample_initial_channel": n_channels,
        "upsample_rates": [5, 4, 2, 2, 2],
        "upsample_kernel_sizes": [16, 16, 8, 4, 4],
        "resblock_kernel_sizes": [3, 7, 11],
        "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
        "leaky_relu_slope": 0.1,
        "normalize_before": False,
    }


AUDIOLDM_S_FULL_V2 = Architecture(
    unet=unet_config(128),
    autoencoder=autoencoder_config(128),
    vocoder=vocoder_config(1024),
    text={"layer_norm_eps": 1e-5},  # roberta-base; transformers' default for CLAP differs
    audio={},  # HTS-AT tiny without fusion is transformers' default
)
