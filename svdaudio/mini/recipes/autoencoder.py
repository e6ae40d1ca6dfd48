"""VAE-mini: log-mel spectrograms to AudioLDM's latent shape and back, on diffusers' `AutoencoderKL`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor

from svdaudio.mini.card import publish
from svdaudio.mini.harness import Schedule, fit
from svdaudio.mini.recipe import OF_SOUNDS, SOUNDS, Recipe, Training
from svdaudio.mini.recipes.audio_encoder import batch
from svdaudio.models.audioldm.autoencoder import build_autoencoder, encode

KL_WEIGHT = 1e-4
CONFIG: dict[str, Any] = {
    "in_channels": 1,
    "out_channels": 1,
    "down_block_types": ["DownEncoderBlock2D"] * 3,
    "up_block_types": ["UpDecoderBlock2D"] * 3,
    "block_out_channels": [24, 48, 64],
    "layers_per_block": 1,
    "latent_channels": 8,
    "norm_num_groups": 8,
    "mid_block_add_attention": False,
}
RECIPE = Recipe(
    version=1,
    module=__name__,
    architecture="diffusers.AutoencoderKL",
    config=CONFIG,
    n_steps=1200,
    title="Autoencoder: AudioLDM's VAE, narrower, log-mel to 8 x T/4 x 16 (mini)",
    data=SOUNDS,
    steps_of="8 soundscapes of 2.56 s, AdamW, bfloat16",
    licence=OF_SOUNDS,
)


def train(training: Training) -> None:
    """Train, measure the latents' scale, report on held-out sounds, write weights and card."""
    torch.manual_seed(training.seed)
    model = build_autoencoder(CONFIG)
    network: Any = model  # diffusers' type hints include tuples that are never returned

    def losses(_step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        mel, _ = batch(rng, 8, duration_s=2.56, n_silent=int(rng.random() < 0.2))
        target = mel.unsqueeze(1)
        with torch.autocast("cpu", torch.bfloat16):
            posterior = network.encode(target).latent_dist
            decoded = network.decode(posterior.sample()).sample.float()
        edges = sum((decoded.diff(dim=d) - target.diff(dim=d)).abs().mean() for d in (2, 3))
        return {
            "l1": (decoded - target).abs().mean(),
            "edges": 0.5 * torch.as_tensor(edges),
            "kl": KL_WEIGHT * posterior.kl().float().mean() / posterior.mean[0].numel(),
        }

    schedule = Schedule(n_steps=training.n_steps, learning_rate=1.5e-3, n_warmup_steps=50, ema_decay=0.995)
    trained = fit(RECIPE.role, training, model=model, losses=losses, schedule=schedule)
    scale = 1 / _latent_deviation(trained)
    config = {**CONFIG, "scaling_factor": round(scale, 4)}

    from svdaudio.mini.audio_evaluation import autoencoder_figures  # which measures through the loaders of runs

    publish(RECIPE, training, trained.state_dict(), autoencoder_figures, config=config)


@torch.no_grad()
def _latent_deviation(model: AutoencoderKL) -> float:
    mel, _ = batch(np.random.default_rng(7), 16, duration_s=5.12)
    return float(encode(model, mel).std())
