"""Training of recipes by AdamW, and Muon for matrices, with a cosine schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from svdaudio.files import write_bytes
from svdaudio.memory_layout import canonical
from svdaudio.mini.recipe import Training
from svdaudio.pretraining.logs import JsonLines
from svdaudio.pretraining.loop import Losses, Task, run
from svdaudio.weights.digests import hash_file

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Number of steps and learning rate: linear warm-up, then cosine decay to `final_fraction` of the rate.

    With `restart_at` the schedule restarts at that step, with the same warm-up and decay, at `restart_fraction`.
    """

    n_steps: int
    learning_rate: float
    weight_decay: float = 0.01
    n_warmup_steps: int = 100
    final_fraction: float = 0.02
    clip_norm: float = 1.0
    ema_decay: float = 0.998
    betas: tuple[float, float] = (0.9, 0.99)
    restart_at: int | None = None
    restart_fraction: float = 0.5

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        peak, length = self.learning_rate, self.n_steps if self.restart_at is None else self.restart_at
        if self.restart_at is not None and step >= self.restart_at:
            peak, length, step = peak * self.restart_fraction, self.n_steps - self.restart_at, step - self.restart_at
        if step < self.n_warmup_steps:
            return peak * (step + 1) / self.n_warmup_steps
        progress = (step - self.n_warmup_steps) / max(1, length - self.n_warmup_steps)
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return peak * (self.final_fraction + (1 - self.final_fraction) * cosine)


def fit(
    name: str,
    training: Training,
    *,
    model: M,
    losses: Callable[[int, np.random.Generator], Losses],
    schedule: Schedule,
    matrices: Sequence[nn.Parameter] = (),
    save_every_s: float = 60.0,
    log_every: int = 25,
) -> M:
    """Train `model` on the sum of the losses that `losses(step, rng)` returns; return the copy with averaged weights.

    The folder of `training` keeps a checkpoint `<name>.ckpt` and a log `<name>.log` (one JSON object per line); an
    interrupted training resumes from the checkpoint. Gradients flow through `model`'s parameters only.

    `matrices` are trained by Muon (Jordan 2024; updates scaled as AdamW's, at twice the rate), the rest by AdamW: a
    transformer's hidden matrices learn several times faster that way.

    Raises:
        RunError: another process trains it in that folder, or the checkpoint there has another seed or model.
    """
    orthogonal = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in orthogonal]
    groups = [
        {"params": [p for p in rest if p.ndim >= 2]},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    rate, decay = schedule.learning_rate, schedule.weight_decay
    optimizers: dict[str, torch.optim.Optimizer] = {
        "optimizer": torch.optim.AdamW(groups, lr=rate, weight_decay=decay, betas=schedule.betas)
    }
    if matrices:
        optimizers["muon"] = torch.optim.Muon(matrices, weight_decay=decay, adjust_lr_fn="match_rms_adamw")

    def set_rates(step: int) -> Mapping[str, float]:
        for key, optimizer in optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate(step) * (2 if key == "muon" else 1)
        return {}

    task = Task(
        name=name,
        model=model,
        losses=lambda step, _part, rng: losses(step, rng),
        optimizers=optimizers,
        set_rates=set_rates,
        n_steps=schedule.n_steps,
        seed=training.seed,
        folder=training.folder,
        clip_norm=schedule.clip_norm,
        ema_decay=schedule.ema_decay,
        logs=[JsonLines(training.folder / f"{name}.log")],
        save_every_s=save_every_s,
        log_every=log_every,
    )
    return run(task)


def made_once(
    folder: Path, name: str, rows: Callable[[], Iterable[Mapping[str, Tensor]]], *, weights: Path
) -> dict[str, Tensor]:
    """Tensors that take long to compute, stacked from rows, and cached in `folder` until `weights` change.

    Args:
        folder: an existing folder.
        name: of the file, without the digest of the weights.
        rows: computes the rows; all have the same names and shapes.
        weights: weight file of the model that computes them.
    """
    path = folder / f"{name}-{hash_file(weights)[:12]}.safetensors"
    try:
        return {key: canonical(tensor) for key, tensor in load_file(path).items()}
    except (SafetensorError, OSError):  # missing or damaged
        made = list(rows())
        write_bytes(path, save({key: torch.stack([row[key] for row in made]) for key in made[0]}))
        return {key: canonical(tensor) for key, tensor in load_file(path).items()}
