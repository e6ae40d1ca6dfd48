"""Trains a subject with its settings: precision, optimiser, several devices, held-out figures, best weights."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from svdaudio.errors import ConfigError
from svdaudio.pretraining.feed import Feed, Order
from svdaudio.pretraining.history import History
from svdaudio.pretraining.logs import CsvTable, Log, TensorBoard
from svdaudio.pretraining.loop import Task, run
from svdaudio.pretraining.ranks import Ranks
from svdaudio.pretraining.rates import build_optimiser, rate_setter
from svdaudio.pretraining.settings import TrainSettings
from svdaudio.pretraining.subject import Subject

CHECKPOINT = "training"
"""Name of the files of a training's state."""
_LINE_INTERVAL_S = 5.0
"""Shortest time between two lines for the user: epochs of small data sets take less."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a training."""

    state: Mapping[str, Tensor]
    """Weights of the best epoch on held-out items; the last ones if nothing is held out."""
    best_epoch: int | None
    """Counted from 1; None if nothing is held out."""
    n_steps: int


def train(
    subject: Subject,
    settings: TrainSettings,
    order: Order,
    *,
    folder: Path,
    device: torch.device,
    ranks: Ranks,
    on_epoch: Callable[[str], None],
    save_every_s: float = 60.0,
) -> Outcome:
    """Train a subject, resuming from the state in `folder` if there is one.

    Args:
        subject: the network and data to train.
        settings: of the training.
        order: which items are in which batch.
        folder: for state, logs and best weights.
        device: to train on.
        ranks: processes that train together.
        on_epoch: receives a line about an epoch, every few seconds at most.
        save_every_s: seconds between checkpoints.

    Raises:
        ConfigError: the batch does not fit the data or the devices, or the device lacks the precision.
        RunError: another process is training in the folder, or its state belongs to another training.
        KeyboardInterrupt: the training was asked to stop; its state is saved.
    """
    order.check(ranks)
    kind = _precision(settings.precision, device)
    model = subject.network.to(device)
    together: DistributedDataParallel | None = None
    if ranks.n_ranks > 1:
        if device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        together = DistributedDataParallel(model, device_ids=[device.index] if device.type == "cuda" else None)
    feed = Feed(subject, order, ranks=ranks, n_workers=settings.workers, device=device)
    history = History(folder, CHECKPOINT)
    meter = _Meter(order.n_steps)

    def forward(given: Tensor) -> Tensor:
        with torch.autocast(device.type, kind) if kind is not None else nullcontext():
            return (model if together is None else together)(given).float()

    def losses(step: int, part: int, _rng: np.random.Generator) -> dict[str, Tensor]:
        meter.begin(step)
        return subject.losses(forward, feed.at(step, part), feed.places(step, part), ranks)

    def after_step(average: nn.Module, step: int) -> None:
        epoch = order.epochs_done(step)
        if not ranks.is_first or (epoch == order.epochs_done(step - 1) and step < order.n_steps):
            return
        line = f"epoch {epoch}, step {step} of {order.n_steps}"
        figures = subject.measure(average, with_intervals=False)
        if figures:
            is_best = history.add(epoch, step, figures, average)
            line += "".join(f", {one.name} {one.value:.3f}" for one in figures if one.name.endswith("@1"))
            line += " (best so far)" if is_best else ""
        if meter.is_due(step):
            on_epoch(f"{line}; {meter.remaining(step)}")

    optimiser = build_optimiser(model, settings)
    columns = ("step", "seconds", "learning_rate", *subject.terms)
    logs: list[Log] = [CsvTable(folder / f"{CHECKPOINT}.log.csv", columns)]
    if importlib.util.find_spec("tensorboard") is not None:
        logs.append(TensorBoard(folder / "tensorboard"))
    average = run(
        Task(
            name=CHECKPOINT,
            model=model,
            losses=losses,
            optimizers={"optimizer": optimiser},
            set_rates=rate_setter(optimiser, settings, n_steps=order.n_steps, steps_per_epoch=order.steps_per_epoch),
            n_steps=order.n_steps,
            seed=settings.seed,
            folder=folder,
            clip_norm=settings.clip_norm or None,
            ema_decay=settings.ema_decay,
            n_parts=order.accumulate,
            scaler=torch.amp.GradScaler(device.type) if kind is torch.float16 else None,  # pyright: ignore[reportPrivateImportUsage]
            extra_state={"history": history},
            after_step=after_step,
            logs=logs,
            ranks=ranks,
            unsynchronised=nullcontext if together is None else together.no_sync,
            save_every_s=save_every_s,
            log_every=max(1, min(25, order.steps_per_epoch)),
        )
    )
    ranks.wait()
    best = history.best_epoch
    state: Mapping[str, Any] = average.state_dict() if best is None else history.best_weights()
    return Outcome(state=state, best_epoch=best, n_steps=order.n_steps)


class _Meter:
    """Estimates the remaining time of a training from the steps of this process."""

    def __init__(self, n_steps: int) -> None:
        self._n_steps = n_steps
        self._first: tuple[int, float] | None = None
        self._printed_at = -_LINE_INTERVAL_S

    def begin(self, step: int) -> None:
        """Record when the first step began."""
        if self._first is None:
            self._first = step, time.monotonic()

    def is_due(self, step: int) -> bool:
        """Whether to print a line after `step` steps."""
        now = time.monotonic()
        due = now - self._printed_at >= _LINE_INTERVAL_S or step == self._n_steps
        self._printed_at = now if due else self._printed_at
        return due

    def remaining(self, step: int) -> str:
        """The remaining time after `step` steps, as text."""
        assert self._first is not None, "the first step has begun"
        first, since = self._first
        seconds = round((time.monotonic() - since) / (step - first) * (self._n_steps - step))
        minutes, hours = seconds // 60 % 60, seconds // 3600
        return f"{hours} h {minutes:02d} min left" if hours else f"{minutes} min {seconds % 60:02d} s left"


def _precision(name: str, device: torch.device) -> torch.dtype | None:
    """The type of autocast; None for float32.

    Raises:
        ConfigError: the GPU does not support bfloat16.
    """
    has_bfloat16 = device.type == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" and has_bfloat16 else None
    if name == "bfloat16" and not has_bfloat16:
        raise ConfigError("this GPU does not support bfloat16", fix="use --set precision=float16")
    return {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
