"""One training loop for every recipe: seeded, resumable after a kill, logged, with an averaged copy of the weights.

Every step draws from generators made of (seed, step), so a resumed training sees what an undisturbed one sees.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

Losses = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast: AdamW, linear warm-up, cosine decay to `final_fraction` of the rate."""

    n_steps: int
    learning_rate: float
    weight_decay: float = 0.01
    n_warmup_steps: int = 100
    final_fraction: float = 0.02
    clip_norm: float = 1.0
    ema_decay: float = 0.998
    betas: tuple[float, float] = (0.9, 0.99)

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        if step < self.n_warmup_steps:
            return self.learning_rate * (step + 1) / self.n_warmup_steps
        progress = (step - self.n_warmup_steps) / max(1, self.n_steps - self.n_warmup_steps)
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return self.learning_rate * (self.final_fraction + (1 - self.final_fraction) * cosine)


def fit(
    name: str,
    *,
    model: nn.Module,
    losses: Callable[[int, np.random.Generator], Losses],
    schedule: Schedule,
    seed: int,
    folder: Path,
    save_every_s: float = 60.0,
    log_every: int = 25,
) -> nn.Module:
    """Train `model` by the sum of what `losses(step, rng)` returns; give back the averaged weights' copy.

    A checkpoint `<name>.ckpt` and a log `<name>.log` (one JSON object a line) lie in `folder`; a training that
    was interrupted goes on from the checkpoint. Gradients flow through `model`'s parameters only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, log = folder / f"{name}.ckpt", folder / f"{name}.log"
    groups = [
        {"params": [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]},
        {"params": [p for p in model.parameters() if p.requires_grad and p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups, lr=schedule.learning_rate, weight_decay=schedule.weight_decay, betas=schedule.betas
    )
    average = copy.deepcopy(model).requires_grad_(False)
    start, spent_s = 0, 0.0
    if checkpoint.is_file():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        start, spent_s = saved["step"], saved["seconds"]

    def save(step: int) -> None:
        partial = checkpoint.with_suffix(".partial")
        state = {"model": model.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save({**state, "step": step, "seconds": spent_s + time.monotonic() - began}, partial)
        partial.replace(checkpoint)

    began = saved_at = time.monotonic()
    totals: dict[str, float] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[loss]}"))
    with Progress(*columns, transient=True) as progress, log.open("a") as lines:
        bar = progress.add_task(name, total=schedule.n_steps, completed=start, loss="")
        model.train()
        for step in range(start, schedule.n_steps):
            torch.manual_seed((seed << 32) + step)
            parts = losses(step, np.random.default_rng((seed, step)))
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate(step)
            optimizer.zero_grad(set_to_none=True)
            torch.stack(list(parts.values())).sum().backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), schedule.clip_norm)
            if torch.isfinite(norm):
                optimizer.step()
            _average(average, model, min(schedule.ema_decay, (step + 1) / (step + 10)))
            for key, value in parts.items():
                totals[key] = totals.get(key, 0.0) + float(value.detach())
            if (step + 1) % log_every == 0 or step + 1 == schedule.n_steps:
                means = {key: round(value / log_every, 5) for key, value in totals.items()}
                seconds = round(spent_s + time.monotonic() - began, 1)
                lines.write(json.dumps({"step": step + 1, "seconds": seconds, **means}) + "\n")
                lines.flush()
                totals.clear()
                progress.update(bar, loss=" ".join(f"{key} {value:.3f}" for key, value in means.items()))
            progress.update(bar, completed=step + 1)
            if time.monotonic() - saved_at > save_every_s or step + 1 == schedule.n_steps:
                save(step + 1)
                saved_at = time.monotonic()
    return average.eval()


@torch.no_grad()
def _average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged copy towards the model; buffers (batch statistics) are copied."""
    for mean, value in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)
    for mean, value in zip(average.buffers(), model.buffers(), strict=True):
        mean.copy_(value)
