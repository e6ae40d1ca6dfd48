"""CLAP-mini: embeds sound in the space of the class names' vectors, so that a mixture lies between its animals."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from svdaudio.figures import Figure, mean_figure
from svdaudio.mini import farm, soundscapes
from svdaudio.mini.card import publish
from svdaudio.mini.harness import Schedule, fit
from svdaudio.mini.recipe import OF_SOUNDS, SOUNDS, Recipe, Training
from svdaudio.models.audioldm.mel import log_mel
from svdaudio.models.mel_cnn.networks import AudioEmbedder

CONFIG: dict[str, Any] = {"n_dims": 512, "widths": [16, 32, 64, 128], "n_classes": len(farm.CLASSES)}
DURATIONS_S = (2.56, 5.12, 10.24)
HELD_OUT_SEED = 900_001
RECIPE = Recipe(
    version=1,
    module=__name__,
    architecture="svdaudio.mini.AudioEmbedder",
    config=CONFIG,
    n_steps=500,
    title="Audio encoder: CLAP-mini, log-mel to 512",
    data=SOUNDS,
    steps_of="16 soundscapes of 2.56 to 10.24 s, AdamW, bfloat16",
    licence=OF_SOUNDS,
    extra={"classes": list(farm.CLASSES)},
)


def targets(shares: Tensor, text: Tensor) -> Tensor:
    """Unit vectors [batch, dim]: the class vectors weighted by each animal's share; the empty text for none."""
    weights = torch.cat([shares, (shares.sum(dim=1, keepdim=True) == 0).float()], dim=1)
    return torch.nn.functional.normalize(weights @ text, dim=1)


def batch(rng: np.random.Generator, n: int, *, duration_s: float, n_silent: int = 0) -> tuple[Tensor, Tensor]:
    """`n` soundscapes: log-mel [n, frame, 64] and shares [n, 9]; the first `n_silent` contain no animal."""
    scenes = [soundscapes.compose(rng, duration_s=duration_s, classes=[] if i < n_silent else None) for i in range(n)]
    mel = log_mel(torch.from_numpy(np.stack([s.waveform for s in scenes])))
    return mel, torch.from_numpy(np.stack([s.shares for s in scenes]))


def train(training: Training) -> None:
    """Train, report on held-out soundscapes, write weights and card."""
    torch.manual_seed(training.seed)
    model = AudioEmbedder(**CONFIG)

    def losses(_step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        mel, shares = batch(rng, 16, duration_s=float(rng.choice(DURATIONS_S)), n_silent=int(rng.random() < 0.5))
        with torch.autocast("cpu", torch.bfloat16):
            embedding = model(mel)
        cosine = (embedding.float() * targets(shares, model.text)).sum(dim=1)
        return {"cosine": 10 * (1 - cosine).mean()}

    schedule = Schedule(n_steps=training.n_steps, learning_rate=2e-3, n_warmup_steps=50, ema_decay=0.99)
    model = fit(RECIPE.role, training, model=model, losses=losses, schedule=schedule)
    publish(RECIPE, training, model.state_dict(), lambda _: evaluate(model))


@torch.no_grad()
def evaluate(model: AudioEmbedder, n: int = 64) -> tuple[Figure, ...]:
    """Held-out soundscapes: cosine with the target, and how often the nearest class is an animal that is heard."""
    rng = np.random.default_rng(HELD_OUT_SEED)
    mel, shares = batch(rng, n, duration_s=10.24)
    embedding = model(mel)
    nearest = (embedding @ model.text[:-1].T).argmax(dim=1)
    heard = (shares.gather(1, nearest[:, None]) > 0)[:, 0].float()
    return (
        mean_figure("cosine with the target", (embedding * targets(shares, model.text)).sum(dim=1).tolist()),
        mean_figure("nearest class is an animal that is heard", heard.tolist()),
    )
