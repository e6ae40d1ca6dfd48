"""AudioLDM-mini: latent diffusion from a CLAP embedding, on diffusers' `UNet2DConditionModel`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from rich.progress import track
from torch import Tensor

from svdaudio.figures import Figure, mean_figure
from svdaudio.mini import soundscapes
from svdaudio.mini.card import publish
from svdaudio.mini.harness import Schedule, fit, made_once
from svdaudio.mini.recipe import OF_SOUNDS, SOUNDS, Recipe, Training
from svdaudio.mini.recipes import audio_encoder
from svdaudio.models.audioldm.autoencoder import encode, load_autoencoder
from svdaudio.models.audioldm.diffuser import N_TRAIN_STEPS, SCHEDULE, Diffuser
from svdaudio.models.audioldm.mel import log_mel
from svdaudio.weights.own import load_weights

FIRST_SHARE = 1 / 2  # of the steps; then the learning rate restarts
CONFIG: dict[str, Any] = {
    "sample_size": [256, 16],
    "in_channels": 8,
    "out_channels": 8,
    "block_out_channels": [32, 64, 128, 192],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"],
    "cross_attention_dim": [32, 64, 128, 192],
    "attention_head_dim": [1, 2, 4, 6],
    "norm_num_groups": 16,
    "class_embed_type": "simple_projection",
    "projection_class_embeddings_input_dim": 512,
    "class_embeddings_concat": True,
}
N_TRACKS = 1200
TRACK_S = 20.48
DROPPED = 0.1  # share of examples whose condition is replaced by the empty text
SNR_LIMIT = 5.0  # min-SNR weighting, arXiv 2303.09556
BATCHES = ((64, 24), (128, 12), (256, 6))  # latent frames, examples: crops of mixed length
HELD_OUT_SEED = 930_001
N_HELD_OUT = 60
RECIPE = Recipe(
    version=2,
    module=__name__,
    architecture="svdaudio.audioldm.Diffuser (diffusers.UNet2DConditionModel)",
    config=CONFIG,
    n_steps=8400,
    title="Diffuser: AudioLDM's noise network, narrower (mini)",
    data=f"{SOUNDS} {N_TRACKS} soundscapes of {TRACK_S} s, as latents of the shipped VAE.",
    steps_of="24, 12 or 6 crops of 2.56, 5.12 or 10.24 s, min-SNR weights, AdamW, bfloat16",
    licence=OF_SOUNDS,
)


def latents(folder: Path, out: Path, *, seed: int, n: int = N_TRACKS) -> tuple[Tensor, Tensor]:
    """Latents [n, 8, 512, 16] of soundscapes and the shares [n, 9] of their animals, cached in `folder`."""
    weights = out / "autoencoder.safetensors"

    def encoded() -> Iterator[dict[str, Tensor]]:
        autoencoder = load_autoencoder(weights, torch.device("cpu"))
        scale = float(autoencoder.config["scaling_factor"])
        for index in track(range(n), description="latents", transient=True):
            rng = np.random.default_rng((seed, 77, index))
            n_animals = int(rng.choice(4, p=(0.02, 0.38, 0.48, 0.12)))
            scene = soundscapes.compose(rng, duration_s=TRACK_S, n_animals=n_animals)
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                mel = log_mel(torch.from_numpy(scene.waveform)[None])
                codes = (encode(autoencoder, mel)[0] * scale).half()
            yield {"codes": codes, "shares": torch.from_numpy(scene.shares)}

    stored = made_once(folder, f"latents-{seed}-{n}", encoded, weights=weights)
    return stored["codes"], stored["shares"]


def train(training: Training) -> None:
    """Train on latents of the shipped VAE, report the held-out noise error, write weights and card."""
    torch.manual_seed(training.seed)
    codes, shares = latents(training.folder, training.out, seed=training.seed)
    text = load_weights(training.out / "audio_encoder.safetensors", role="audio_encoder")[0]["text"]
    model = Diffuser(CONFIG)
    model.unconditional = text[-1]
    scheduler: Any = DDPMScheduler(**SCHEDULE)
    ratio = scheduler.alphas_cumprod / (1 - scheduler.alphas_cumprod)

    def losses(step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        n_frames, n_examples = BATCHES[step % len(BATCHES)]
        chosen = torch.from_numpy(rng.integers(len(codes), size=n_examples))
        starts = rng.integers(codes.shape[2] - n_frames + 1, size=n_examples)
        clean = torch.stack([codes[i, :, s : s + n_frames].float() for i, s in zip(chosen, starts, strict=True)])
        condition = _conditions(rng, shares[chosen], text)
        times = torch.from_numpy((np.arange(n_examples) + rng.random(n_examples)) / n_examples * N_TRAIN_STEPS).long()
        noise = torch.randn_like(clean)
        with torch.autocast("cpu", torch.bfloat16):
            predicted = model.noise(scheduler.add_noise(clean, noise, times), times, condition)
        error = (predicted.float() - noise).square().mean(dim=(1, 2, 3))
        weight = (SNR_LIMIT / ratio[times]).clamp(max=1.0)
        return {"noise": (weight * error).mean()}

    schedule = Schedule(
        n_steps=training.n_steps,
        learning_rate=1.2e-3,
        n_warmup_steps=min(100, training.n_steps // 4),
        ema_decay=0.998,
        restart_at=round(training.n_steps * FIRST_SHARE),
    )
    trained = fit(RECIPE.role, training, model=model, losses=losses, schedule=schedule)
    publish(RECIPE, training, trained.state_dict(), lambda _: evaluate(trained, training.out, training.folder))


def _conditions(rng: np.random.Generator, shares: Tensor, text: Tensor) -> Tensor:
    """Targets of the audio encoder with some noise, like predicted embeddings; some replaced by the empty text."""
    target = audio_encoder.targets(shares, text)
    blur = torch.from_numpy(rng.normal(0, 1, target.shape)).float() / target.shape[1] ** 0.5
    target = torch.nn.functional.normalize(target + float(rng.uniform(0, 0.35)) * blur, dim=1)
    dropped = torch.from_numpy(rng.random(len(shares)) < DROPPED)
    return torch.where(dropped[:, None], text[-1], target)


@torch.inference_mode()
def evaluate(model: Diffuser, out: Path, folder: Path) -> tuple[Figure, ...]:
    """Noise error on held-out soundscapes at times 50 to 950, with the right condition and with another animal's."""
    codes, shares = latents(folder, out, seed=HELD_OUT_SEED, n=N_HELD_OUT)
    text = load_weights(out / "audio_encoder.safetensors", role="audio_encoder")[0]["text"]
    scheduler: Any = DDPMScheduler(**SCHEDULE)
    clean = codes[:, :, :256].float()
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(HELD_OUT_SEED))
    times = torch.linspace(50, 950, len(clean)).long()
    noisy = scheduler.add_noise(clean, noise, times)
    figures: list[Figure] = []
    for name, heard in (("right condition", shares), ("another's condition", shares.roll(1, dims=1))):
        parts = zip(noisy.split(10), times.split(10), audio_encoder.targets(heard, text).split(10), strict=True)
        predicted = torch.cat([model.noise(*part) for part in parts])
        errors = (predicted - noise).square().mean(dim=(1, 2, 3))
        figures.append(mean_figure(f"noise error, {name}", errors.tolist()))
    return tuple(figures)
