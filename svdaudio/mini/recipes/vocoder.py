"""HiFi-GAN-mini: log-mel to sound, on transformers' `SpeechT5HifiGan`; spectral losses first, then adversaries.

The adversaries look at spectrograms of several resolutions (arXiv 2106.07889); against spectral losses alone
they take away the buzz that comes of phases that nothing asked for.
"""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn

from svdaudio.audioldm.autoencoder import encode, load_autoencoder
from svdaudio.audioldm.griffin_lim import GriffinLimVocoder
from svdaudio.audioldm.mel import HOP_LENGTH, log_mel
from svdaudio.audioldm.vocoder import build_vocoder, vocode
from svdaudio.mini import soundscapes
from svdaudio.mini.card import write_card
from svdaudio.mini.harness import Schedule, fit
from svdaudio.mini.spectral import magnitudes, stft_distance
from svdaudio.weights import Header, save_weights

ROLE = "vocoder"
VERSION = 1
CONFIG: dict[str, Any] = {
    "model_in_dim": 64,
    "sampling_rate": 16000,
    "upsample_initial_channel": 192,
    "upsample_rates": [5, 4, 2, 2, 2],
    "upsample_kernel_sizes": [16, 16, 8, 4, 4],
    "resblock_kernel_sizes": [3, 7],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]],
    "normalize_before": False,
}
CLASSICAL: dict[str, Any] = {"n_rounds": 32}
N_FRAMES = 64  # of each training excerpt, plus a margin that is cut off again
MARGIN = 8
HELD_OUT_SEED = 940_001
RECONSTRUCTED = 0.5  # share of excerpts that the vocoder sees through the VAE, as it will in use
ADVERSARIES = ((1024, 256), (512, 128))  # points, hop


class Adversary(nn.Module):
    """Judges a log-magnitude spectrogram patch by patch."""

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        widths = (1, 16, 32, 32, 32)
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            layers += [
                nn.utils.parametrizations.weight_norm(nn.Conv2d(n_in, n_out, (5, 3), (2, 1), (2, 1))),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, waveforms: Tensor) -> Tensor:
        """A map of marks, about 1 where it takes the sound for real and 0 where for made."""
        return self.layers(magnitudes(waveforms, self.n_fft, self.hop).log().unsqueeze(1))


class Game(nn.Module):
    """The vocoder and its adversaries, trained by one optimizer."""

    def __init__(self) -> None:
        super().__init__()
        self.vocoder = build_vocoder(CONFIG)
        self.adversaries = nn.ModuleList(Adversary(*resolution) for resolution in ADVERSARIES)


def excerpts(rng: np.random.Generator, n: int, autoencoder: AutoencoderKL | None) -> tuple[Tensor, Tensor]:
    """Log-mel [n, frames, 64] (some through the VAE) and the sound [n, frames x 160] that belongs to it."""
    n_frames = N_FRAMES + 2 * MARGIN
    mels, sounds = [], []
    while len(mels) < n:
        scene = soundscapes.compose(rng, duration_s=5.12)
        waveform = torch.from_numpy(scene.waveform)
        mel = log_mel(waveform[None])
        if autoencoder is not None and rng.random() < RECONSTRUCTED:
            network: Any = autoencoder
            with torch.inference_mode():
                mel = network.decode(encode(autoencoder, mel)).sample[:, 0].clone()
        for _ in range(4):
            start = int(rng.integers(mel.shape[1] - n_frames))
            mels.append(mel[0, start : start + n_frames])
            sounds.append(waveform[start * HOP_LENGTH : (start + n_frames) * HOP_LENGTH])
    return torch.stack(mels[:n]), torch.stack(sounds[:n])


def train(*, folder: Path, out: Path, seed: int = 0, n_steps: int = 1300) -> None:
    """Train, report against Griffin-Lim on held-out sounds, write weights and card to `out`."""
    began = time.monotonic()
    torch.manual_seed(seed)
    game = Game()
    autoencoder = load_autoencoder(out / "autoencoder.safetensors", torch.device("cpu"))
    adversaries_from = n_steps // 2

    def losses(step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        mel, wanted = excerpts(rng, 8, autoencoder)
        with torch.autocast("cpu", torch.bfloat16):
            made = game.vocoder(mel)
        cut = slice(MARGIN * HOP_LENGTH, (MARGIN + N_FRAMES) * HOP_LENGTH)
        made, wanted = made.float()[:, cut], wanted[:, cut]
        parts = {"stft": stft_distance(made, wanted), "mel": (log_mel(made) - log_mel(wanted)).abs().mean()}
        if step >= adversaries_from:
            parts |= _play(game, made, wanted)
        return parts

    schedule = Schedule(
        n_steps=n_steps, learning_rate=1e-3, n_warmup_steps=100, ema_decay=0.995, betas=(0.8, 0.99), clip_norm=5.0
    )
    trained = fit(ROLE, model=game, losses=losses, schedule=schedule, seed=seed, folder=folder)
    export(trained.vocoder, out, seed=seed, seconds=time.monotonic() - began)


def export(network: nn.Module, out: Path, *, seed: int, seconds: float) -> None:
    """Write whichever is nearer to held-out sounds, the trained network or Griffin-Lim; the card has both figures."""
    classical = GriffinLimVocoder(**CLASSICAL)
    figures = {"HiFi-GAN": evaluate(network), "Griffin-Lim": evaluate(classical)}
    better = min(figures, key=lambda name: figures[name]["multi-resolution STFT distance"])
    kept, architecture, config = (
        (network, "transformers.SpeechT5HifiGan", CONFIG)
        if better == "HiFi-GAN"
        else (classical, "svdaudio.audioldm.GriffinLimVocoder", CLASSICAL)
    )
    header = Header(
        role=ROLE,
        architecture=architecture,
        config=config,
        recipe=__name__,
        recipe_version=VERSION,
        extra={"seed": seed},
    )
    save_weights(out / f"{ROLE}.safetensors", kept.state_dict(), header)
    write_card(
        out / f"{ROLE}.md",
        header,
        {f"{what}, {name}": value for name, row in figures.items() for what, value in row.items()},
        seconds=seconds,
        data="0.64 s excerpts of soundscapes of nine recordings, half of them through the VAE; "
        f"of HiFi-GAN and Griffin-Lim the better is shipped, here {better}",
        licence="GPL-3.0-or-later, as the recordings",
    )


def _play(game: Game, made: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """Least-squares losses of both sides: the adversaries learn on a copy, the vocoder from frozen adversaries."""
    judge = made.new_zeros(())
    fool = made.new_zeros(())
    for adversary in game.adversaries:
        judge = judge + (adversary(wanted) - 1).square().mean() + adversary(made.detach()).square().mean()
        frozen = {name: value.detach() for name, value in adversary.named_parameters()}
        fool = fool + (torch.func.functional_call(adversary, frozen, (made,)) - 1).square().mean()
    return {"judge": judge, "fool": 0.1 * fool}


@torch.no_grad()
def evaluate(vocoder: nn.Module, n: int = 12) -> dict[str, float]:
    """Spectral distance and log-mel error on held-out sounds."""
    rng = np.random.default_rng(HELD_OUT_SEED)
    wanted = torch.from_numpy(np.stack([soundscapes.compose(rng, duration_s=5.12).waveform for _ in range(n)]))
    mel = log_mel(wanted)
    made = vocode(vocoder, mel)
    return {
        "multi-resolution STFT distance": float(stft_distance(made, wanted)),
        "log-mel error": float((log_mel(made) - mel).abs().mean()),
    }
