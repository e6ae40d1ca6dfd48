"""One training loop for every recipe: seeded, resumable after a kill, logged, with an averaged copy of the weights.

Every step draws from generators seeded by (seed, step), so a resumed training sees the same data as an undisturbed one.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from svdaudio.errors import CheckpointError, RunError
from svdaudio.memory import keep_freed_memory
from svdaudio.memory_layout import canonical
from svdaudio.store.locks import HeldError, file_lock, refuse_to_wait
from svdaudio.weights.digests import hash_file
from svdaudio.weights.reading import read_plain

Losses = Mapping[str, Tensor]
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
    *,
    model: M,
    losses: Callable[[int, np.random.Generator], Losses],
    schedule: Schedule,
    seed: int,
    folder: Path,
    matrices: Sequence[nn.Parameter] = (),
    save_every_s: float = 60.0,
    log_every: int = 25,
) -> M:
    """Train `model` on the sum of the losses that `losses(step, rng)` returns; return the copy with averaged weights.

    A checkpoint `<name>.ckpt` and a log `<name>.log` (one JSON object per line) are kept in `folder`; an interrupted
    training resumes from the checkpoint. Gradients flow through `model`'s parameters only.

    `matrices` are trained by Muon (Jordan 2024; updates scaled as AdamW's, at twice the rate), the rest by AdamW: a
    transformer's hidden matrices learn several times faster that way.

    Raises:
        RunError: another process trains it in `folder`, or the checkpoint there has another seed or model.
    """
    keep_freed_memory()
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(folder / f"{name}.lock", refuse_to_wait))
        except HeldError as error:
            raise RunError(f"another process trains {name} in {folder}", fix="wait for it") from error
        training = _Training(model, schedule, matrices, folder / f"{name}.ckpt", seed)
        journal = stack.enter_context(_Journal(name, folder / f"{name}.log", schedule.n_steps, training, log_every))
        saved_at = time.monotonic()
        for step in range(training.step, schedule.n_steps):
            torch.manual_seed((seed << 32) + step)
            parts = losses(step, np.random.default_rng((seed, step)))
            training.update(torch.stack(list(parts.values())).sum())
            journal.note(parts)
            if time.monotonic() - saved_at > save_every_s or step + 1 == schedule.n_steps:
                training.save()
                saved_at = time.monotonic()
    return training.average.eval()


def made_once(
    folder: Path, name: str, rows: Callable[[], Iterable[Mapping[str, Tensor]]], *, weights: Path
) -> dict[str, Tensor]:
    """Tensors that take long to make, stacked from rows, and cached in `folder` until `weights` change.

    Args:
        folder: an existing folder.
        name: of the file, without the digest of the weights.
        rows: makes the rows; each has the same names and shapes.
        weights: weight file of the model that computes them.
    """
    path = folder / f"{name}-{hash_file(weights)[:12]}.safetensors"
    try:
        return {key: canonical(tensor) for key, tensor in load_file(path).items()}
    except (SafetensorError, OSError):  # not made yet, or damaged
        made = list(rows())
        partial = path.with_suffix(".partial")
        save_file({key: torch.stack([row[key] for row in made]) for key in made[0]}, partial)
        partial.replace(path)
        return {key: canonical(tensor) for key, tensor in load_file(path).items()}


class _Training(Generic[M]):
    """A model, the averaged copy of its weights, its optimizers, and the current step."""

    def __init__(
        self, model: M, schedule: Schedule, matrices: Sequence[nn.Parameter], checkpoint: Path, seed: int
    ) -> None:
        self.model = model.train()
        self.average = copy.deepcopy(model).requires_grad_(False)
        self.step = 0
        self._schedule = schedule
        self._checkpoint = checkpoint
        orthogonal = {id(p) for p in matrices}
        rest = [p for p in model.parameters() if p.requires_grad and id(p) not in orthogonal]
        groups = [
            {"params": [p for p in rest if p.ndim >= 2]},
            {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
        ]
        rate, decay = schedule.learning_rate, schedule.weight_decay
        self._optimizers: dict[str, torch.optim.Optimizer] = {
            "optimizer": torch.optim.AdamW(groups, lr=rate, weight_decay=decay, betas=schedule.betas)
        }
        if matrices:
            self._optimizers["muon"] = torch.optim.Muon(matrices, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
        self._began = time.monotonic()
        self._seed = seed
        if checkpoint.is_file():
            self._go_on(checkpoint)

    def _go_on(self, checkpoint: Path) -> None:
        """Resume an interrupted training of the same model."""
        another = "remove it, or give another --work"
        try:
            saved = read_plain(checkpoint, what="a training's state")
        except CheckpointError as error:
            raise RunError(f"{checkpoint} is damaged", got=error.got, fix=another) from error
        if saved.get("seed") != self._seed:
            raise RunError(
                f"{checkpoint} is of a training with another seed",
                expected=self._seed,
                got=saved.get("seed"),
                fix=another,
            )
        step, seconds = saved.get("step"), saved.get("seconds")
        try:
            if type(step) is not int or step < 0 or type(seconds) is not float or not 0 <= seconds < math.inf:
                raise TypeError("its step or time is invalid")
            for key, part in self._parts().items():
                part.load_state_dict(saved[key])
        except Exception as error:
            raise RunError(
                f"{checkpoint} is of a training of another model", got=str(error)[:200], fix=another
            ) from error
        self.step = step
        self._began -= seconds

    @property
    def seconds(self) -> float:
        """Time spent, earlier interrupted parts included."""
        return time.monotonic() - self._began

    def update(self, loss: Tensor) -> None:
        """One step of every optimizer; a step whose gradient is not finite is skipped."""
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self._schedule.clip_norm)
        if torch.isfinite(norm):
            for key, optimizer in self._optimizers.items():
                for group in optimizer.param_groups:
                    group["lr"] = self._schedule.rate(self.step) * (2 if key == "muon" else 1)
                optimizer.step()
        _average(self.average, self.model, min(self._schedule.ema_decay, (self.step + 1) / (self.step + 10)))
        self.step += 1

    def save(self) -> None:
        """Write the checkpoint atomically."""
        partial = self._checkpoint.with_suffix(".partial")
        states = {key: part.state_dict() for key, part in self._parts().items()}
        torch.save({**states, "seed": self._seed, "step": self.step, "seconds": self.seconds}, partial)
        partial.replace(self._checkpoint)

    def _parts(self) -> dict[str, Any]:
        return {"model": self.model, "average": self.average, **self._optimizers}


class _Journal:
    """A progress bar and a log of mean losses."""

    def __init__(self, name: str, path: Path, n_steps: int, training: _Training[Any], log_every: int) -> None:
        bars = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*bars, TextColumn("{task.fields[loss]}"), transient=True)
        self._bar = self._progress.add_task(name, total=n_steps, completed=training.step, loss="")
        self._path, self._n_steps, self._training, self._log_every = path, n_steps, training, log_every
        self._totals: dict[str, float] = {}
        self._n_summed = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def note(self, parts: Losses) -> None:
        """Enter the losses of the step just done."""
        for key, value in parts.items():
            self._totals[key] = self._totals.get(key, 0.0) + float(value.detach())
        self._n_summed += 1
        step = self._training.step
        if step % self._log_every == 0 or step == self._n_steps:
            means = {key: round(value / self._n_summed, 5) for key, value in self._totals.items()}
            with self._path.open("a") as log:
                log.write(json.dumps({"step": step, "seconds": round(self._training.seconds, 1), **means}) + "\n")
            self._totals, self._n_summed = {}, 0
            self._progress.update(self._bar, loss=" ".join(f"{key} {value:.3f}" for key, value in means.items()))
        self._progress.update(self._bar, completed=step)


@torch.no_grad()
def _average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged copy towards the model; buffers (batch statistics) are copied."""
    for mean, value in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)
    for mean, value in zip(average.buffers(), model.buffers(), strict=True):
        mean.copy_(value)
