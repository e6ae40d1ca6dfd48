"""The judge: a tagger that shares no weights, seeds or augmentations with CLAP-mini."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from svdaudio.mini import farm, soundscapes
from svdaudio.mini.card import publish
from svdaudio.mini.harness import Schedule, fit
from svdaudio.mini.recipe import OF_SOUNDS, SOUNDS, Recipe, Training
from svdaudio.models.audioldm.mel import FLOOR, log_mel
from svdaudio.models.mel_cnn.networks import TaggerNetwork

CONFIG: dict[str, Any] = {"widths": [32, 64, 96, 128], "n_classes": len(farm.CLASSES)}
SEED_OFFSET = 5_000_000  # no seed is shared with the audio encoder
VARIATION = soundscapes.Variation(log_rate=0.12, tilt_db=6.0, gain_db=10.0, floor_db=-60.0)
RECIPE = Recipe(
    version=1,
    module=__name__,
    architecture="svdaudio.mini.TaggerNetwork",
    config=CONFIG,
    n_steps=700,
    title="Tagger: nine animals, each by itself (mini)",
    data=f"{SOUNDS} Speed, tilt and noise change more than for the audio encoder, and spectrograms are partly masked.",
    steps_of="16 soundscapes of 3.84 to 10.24 s, AdamW, bfloat16",
    licence=OF_SOUNDS,
    extra={"classes": list(farm.CLASSES)},
)


def train(training: Training) -> None:
    """Train, report on held-out soundscapes, write weights and card."""
    training = replace(training, seed=training.seed + SEED_OFFSET)
    torch.manual_seed(training.seed)
    model = TaggerNetwork(**CONFIG)

    def losses(_step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        duration_s = float(rng.choice((3.84, 7.68, 10.24)))
        scenes = [_scene(rng, duration_s) for _ in range(16)]
        mel = log_mel(torch.from_numpy(np.stack([s.waveform for s in scenes])))
        labels = torch.from_numpy(np.stack([s.shares for s in scenes])) > 0
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(_mask_parts(mel, rng)).float()
        smooth = labels.float() * 0.98 + 0.01
        return {"bce": 9 * torch.nn.functional.binary_cross_entropy_with_logits(logits, smooth)}

    schedule = Schedule(n_steps=training.n_steps, learning_rate=2e-3, n_warmup_steps=50, ema_decay=0.99)
    model = fit(RECIPE.role, training, model=model, losses=losses, schedule=schedule)

    from svdaudio.mini.audio_evaluation import tagger_figures  # which measures through the loaders of runs

    publish(RECIPE, training, model.state_dict(), tagger_figures)


def _scene(rng: np.random.Generator, duration_s: float) -> soundscapes.Soundscape:
    """A soundscape, sometimes without an animal and with louder noise, so that the tagger learns to reject."""
    silent = rng.random() < 0.1
    scene = soundscapes.compose(rng, duration_s=duration_s, classes=[] if silent else None, variation=VARIATION)
    if silent or rng.random() < 0.3:
        level = 10 ** (rng.uniform(-60, -35) / 20)
        noise = (
            np.cumsum(rng.normal(0, 1, len(scene.waveform)))
            if rng.random() < 0.3
            else rng.normal(0, 1, len(scene.waveform))
        )
        noise = noise - np.convolve(noise, np.full(64, 1 / 64), mode="same")
        waveform = scene.waveform + (level * noise / (noise.std() + 1e-9)).astype(np.float32)
        return soundscapes.Soundscape(waveform=waveform.astype(np.float32), shares=scene.shares)
    return scene


def _mask_parts(mel: Tensor, rng: np.random.Generator) -> Tensor:
    """Hide a band and a stretch of time of each spectrogram, and shift its level."""
    mel = mel + torch.from_numpy(rng.normal(0, 0.5, (len(mel), 1, 1))).float()
    for item in mel:
        band, first = int(rng.integers(0, 12)), int(rng.integers(0, 52))
        item[:, first : first + band] = float(np.log(FLOOR)) if rng.random() < 0.3 else item.mean()
        stretch = int(rng.integers(0, mel.shape[1] // 6))
        start = int(rng.integers(0, mel.shape[1] - stretch))
        item[start : start + stretch] = item.mean()
    return mel
