"""Recipe: a vocoder that predicts STFT magnitudes from mel bands, trained on sounds and the VAE's versions of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from svdaudio.mini import soundscapes
from svdaudio.mini.card import publish
from svdaudio.mini.harness import Schedule, fit
from svdaudio.mini.recipe import OF_SOUNDS, SOUNDS, Recipe, Training
from svdaudio.models.audioldm.autoencoder import load_autoencoder, reconstruct
from svdaudio.models.audioldm.magnitude_vocoder import FLOOR, MagnitudeVocoder
from svdaudio.models.audioldm.mel import FLOOR as MEL_FLOOR
from svdaudio.models.audioldm.mel import log_mel, mel_filters, stft_magnitudes

CONFIG: dict[str, Any] = {"width": 192, "n_blocks": 5, "n_rounds": 32}
DURATION_S = 5.12
N_FRAMES = 96  # of each excerpt
N_FRESH = 2  # new sounds per step, four excerpts from each
N_BANK = 160  # sounds that go through the VAE, computed once: this costs more than the training
BANK_SEED = 941_000
RECIPE = Recipe(
    version=2,
    module=__name__,
    architecture="svdaudio.audioldm.MagnitudeVocoder",
    config=CONFIG,
    n_steps=2500,
    title="Vocoder: STFT magnitudes from log-mel, then Griffin-Lim's phases (mini)",
    data=SOUNDS,
    steps_of=f"{8 * N_FRESH} excerpts of 0.96 s, half of them through the VAE, Muon and AdamW",
    licence=OF_SOUNDS,
)


def sounds(rng: np.random.Generator, n: int) -> Tensor:
    """Soundscapes of 5.12 s, [n, 81920]."""
    return torch.from_numpy(np.stack([soundscapes.compose(rng, duration_s=DURATION_S).waveform for _ in range(n)]))


def reconstructed_bank(out: Path, seed: int) -> tuple[Tensor, Tensor]:
    """Log-mels [n, 512, 64] as the VAE reconstructs them (the vocoder's input in use), and the true magnitudes."""
    autoencoder = load_autoencoder(out / "autoencoder.safetensors", torch.device("cpu"))
    waveforms = sounds(np.random.default_rng((BANK_SEED, seed)), N_BANK)
    return reconstruct(autoencoder, log_mel(waveforms)), stft_magnitudes(waveforms)


def excerpts(rng: np.random.Generator, mels: Tensor, magnitudes: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Random pieces: log-mel [n, 96, 64] and magnitudes [n, 96, 513]."""
    which = rng.integers(len(mels), size=n)
    starts = rng.integers(mels.shape[1] - N_FRAMES + 1, size=n)
    pieces = [(i, slice(start, start + N_FRAMES)) for i, start in zip(which, starts, strict=True)]
    return torch.stack([mels[i, part] for i, part in pieces]), torch.stack([magnitudes[i, part] for i, part in pieces])


def losses_of(made: Tensor, target: Tensor, mel: Tensor | None) -> dict[str, Tensor]:
    """L1 of log-magnitudes, spectral convergence, and the distance of the magnitudes from the input mel."""
    magnitudes = made.exp()
    losses = {
        "log": (made - target.clamp(min=FLOOR).log()).abs().mean(),
        "convergence": (magnitudes - target).norm() / target.norm(),
    }
    if mel is not None:
        again = (magnitudes @ mel_filters()).clamp(min=MEL_FLOOR).log()
        losses["mel"] = (again - mel).abs().mean()
    return losses


def train(training: Training) -> None:
    """Train, compare with Griffin-Lim on held-out sounds, write weights and card."""
    torch.manual_seed(training.seed)
    network = MagnitudeVocoder(**CONFIG)
    bank = reconstructed_bank(training.out, training.seed)

    def losses(_step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        waveforms = sounds(rng, N_FRESH)
        mel, target = excerpts(rng, log_mel(waveforms), stft_magnitudes(waveforms), 4 * N_FRESH)
        blurred, sharp = excerpts(rng, *bank, 4 * N_FRESH)
        clean = losses_of(network.log_magnitudes(mel), target, mel)
        seen = losses_of(network.log_magnitudes(blurred), sharp, None)
        return clean | {f"{name}, after the VAE": 0.5 * value for name, value in seen.items()}

    schedule = Schedule(
        n_steps=training.n_steps, learning_rate=1.5e-3, n_warmup_steps=min(50, training.n_steps // 4), ema_decay=0.995
    )
    matrices = [p for p in network.blocks.parameters() if p.ndim == 2]
    trained = fit(RECIPE.role, training, model=network, losses=losses, schedule=schedule, matrices=matrices)

    from svdaudio.mini.audio_evaluation import vocoder_figures  # which measures through the loaders of runs

    publish(RECIPE, training, trained.state_dict(), partial(vocoder_figures, training.out / "autoencoder.safetensors"))
