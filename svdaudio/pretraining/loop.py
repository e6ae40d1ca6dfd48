"""The training loop of this project: seeded, resumable after a kill, logged, with an averaged copy of the weights.

Every step draws from generators seeded by (seed, step), so that on a CPU a resumed training computes the same numbers
as an uninterrupted one, bit for bit. A `Task` defines the model, its losses and its optimizers.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from svdaudio.errors import CheckpointError, RunError
from svdaudio.memory import keep_freed_memory
from svdaudio.pretraining.interrupts import stop_request
from svdaudio.pretraining.logs import Log
from svdaudio.pretraining.ranks import ALONE, Ranks
from svdaudio.store.locks import HeldError, file_lock, refuse_to_wait
from svdaudio.weights.reading import read_plain

Losses = Mapping[str, Tensor]
M = TypeVar("M", bound=nn.Module)


class Stateful(Protocol):
    """Something that a checkpoint saves, as plain values and tensors."""

    def state_dict(self) -> dict[str, Any]:
        """The state."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Restore a state."""
        ...


@dataclass(frozen=True, kw_only=True)
class Task(Generic[M]):
    """A training: model, losses, optimizers, and the folder of its state."""

    name: str
    """Names the checkpoint and the lock."""
    model: M
    losses: Callable[[int, int, np.random.Generator], Losses]
    """Called with the step, the part of the step (0 up to `n_parts`), and a generator seeded by both; the sum of the
    losses is minimised. Gradients flow only through `model`'s parameters."""
    optimizers: Mapping[str, torch.optim.Optimizer]
    """Name in the checkpoint → optimizer."""
    set_rates: Callable[[int], Mapping[str, float]]
    """Sets the optimizers' rates for a step, and returns them for the log."""
    n_steps: int
    seed: int
    folder: Path
    clip_norm: float | None = 1.0
    """Largest norm of the gradients; None for no limit."""
    ema_decay: float = 0.998
    """Decay of the averaged copy; 0 copies the last weights."""
    n_parts: int = 1
    """Batches whose gradients are averaged for one step."""
    scaler: torch.amp.GradScaler | None = None  # pyright: ignore[reportPrivateImportUsage]
    """For float16."""
    extra_state: Mapping[str, Stateful] = field(default_factory=dict[str, Stateful])
    """Further entries of the checkpoint, by name."""
    after_step: Callable[[nn.Module, int], None] | None = None
    """Called in every process with the averaged copy and the number of completed steps, before a checkpoint."""
    logs: Sequence[Log] = ()
    ranks: Ranks = ALONE
    unsynchronised: Callable[[], Any] = nullcontext
    """A context that skips the exchange of gradients between processes, for all parts of a step but the last."""
    save_every_s: float = 60.0
    log_every: int = 25


def run(task: Task[M]) -> M:
    """Train until the last step, and return the copy with averaged weights.

    The state is kept in `<name>.ckpt`; an interrupted training resumes from it. Ctrl-C and SIGTERM end the training
    after the current step, with its state saved.

    Raises:
        RunError: another process is training in the folder, or the checkpoint there has another seed or model.
        KeyboardInterrupt: the training was asked to stop.
    """
    keep_freed_memory()
    task.folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if task.ranks.is_first:
            try:
                stack.enter_context(file_lock(task.folder / f"{task.name}.lock", refuse_to_wait))
            except HeldError as error:
                raise RunError(
                    f"another process trains {task.name} in {task.folder}", fix="wait for it to end"
                ) from error
        state = _State(task)
        task.ranks.wait()  # the first process saves only after all have loaded
        journal = stack.enter_context(_Journal(task, state))
        request = stack.enter_context(stop_request())
        device = next(task.model.parameters()).device
        saved_at = time.monotonic()
        while state.step < task.n_steps:
            journal.note(state.advance())
            if task.after_step is not None:
                task.after_step(state.average, state.step)
            stopping = task.ranks.agreed(request.is_set, device)
            if stopping or state.step == task.n_steps or time.monotonic() - saved_at > task.save_every_s:
                state.save()
                saved_at = time.monotonic()
            if stopping and state.step < task.n_steps:
                raise KeyboardInterrupt
    return state.average.eval()


class _State(Generic[M]):
    """The state of a training: averaged weights, step, time spent, and all else that a checkpoint keeps."""

    def __init__(self, task: Task[M]) -> None:
        self.average = copy.deepcopy(task.model.train()).requires_grad_(False)
        self.step = 0
        self._task = task
        self._checkpoint = task.folder / f"{task.name}.ckpt"
        self._began = time.monotonic()
        if self._checkpoint.is_file():
            self._resume()

    def _resume(self) -> None:
        """Resume an interrupted training of the same model."""
        fix, seed = "remove it, or choose another --work", self._task.seed
        try:
            saved = read_plain(self._checkpoint, what="a training's state")
        except CheckpointError as error:
            raise RunError(f"{self._checkpoint} is damaged", got=error.got, fix=fix) from error
        if saved.get("seed") != seed:
            raise RunError(
                f"{self._checkpoint} belongs to a training with another seed",
                expected=seed,
                got=saved.get("seed"),
                fix=fix,
            )
        step, seconds = saved.get("step"), saved.get("seconds")
        try:
            if type(step) is not int or step < 0 or type(seconds) is not float or not 0 <= seconds < math.inf:
                raise TypeError("its step or time is invalid")
            for key, part in self._parts().items():
                part.load_state_dict(saved[key])
        except Exception as error:
            raise RunError(
                f"{self._checkpoint} belongs to a training of another model", got=str(error)[:200], fix=fix
            ) from error
        self.step = step
        self._began -= seconds

    @property
    def seconds(self) -> float:
        """Time spent, including earlier interrupted runs."""
        return time.monotonic() - self._began

    def advance(self) -> dict[str, float]:
        """Make one step with every optimizer; a step whose gradient is not finite is skipped.

        Returns:
            The losses, as means over the parts of the step, and the rates.
        """
        task, totals = self._task, dict[str, float]()
        torch.manual_seed((task.seed << 32) + self.step)
        for part in range(task.n_parts):
            is_last = part + 1 == task.n_parts
            with nullcontext() if is_last else task.unsynchronised():
                rng = np.random.default_rng((task.seed, self.step, part) if part else (task.seed, self.step))
                losses = task.losses(self.step, part, rng)
                if part == 0:  # not earlier: computing losses may leave gradients behind
                    task.model.zero_grad(set_to_none=True)
                loss = torch.stack(list(losses.values())).sum() / task.n_parts
                (loss if task.scaler is None else task.scaler.scale(loss)).backward()
            for key, value in losses.items():
                totals[key] = totals.get(key, 0.0) + float(value.detach()) / task.n_parts
        rates = self._update()
        _average(self.average, task.model, min(task.ema_decay, (self.step + 1) / (self.step + 10)))
        self.step += 1
        return {**totals, **rates}

    def _update(self) -> Mapping[str, float]:
        task = self._task
        rates = task.set_rates(self.step)
        if task.scaler is not None:
            for optimizer in task.optimizers.values():
                task.scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(task.model.parameters(), math.inf if task.clip_norm is None else task.clip_norm)
        for optimizer in task.optimizers.values():
            if task.scaler is not None:
                task.scaler.step(optimizer)  # it skips gradients that are not finite
            elif torch.isfinite(norm):
                optimizer.step()
        if task.scaler is not None:
            task.scaler.update()
        return rates

    def save(self) -> None:
        """Write the checkpoint atomically."""
        if not self._task.ranks.is_first:
            return
        partial = self._checkpoint.with_suffix(".partial")
        states = {key: part.state_dict() for key, part in self._parts().items()}
        torch.save({**states, "seed": self._task.seed, "step": self.step, "seconds": self.seconds}, partial)
        partial.replace(self._checkpoint)

    def _parts(self) -> dict[str, Stateful]:
        task = self._task
        scaler = {} if task.scaler is None else {"scaler": task.scaler}
        return {"model": task.model, "average": self.average, **task.optimizers, **scaler, **task.extra_state}


class _Journal:
    """A progress bar and logs of mean losses, in the first process."""

    def __init__(self, task: Task[Any], state: _State[Any]) -> None:
        bars = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        loss = TextColumn("{task.fields[loss]}")
        self._progress = Progress(*bars, loss, transient=True, console=Console(stderr=True))
        self._bar = self._progress.add_task(task.name, total=task.n_steps, completed=state.step, loss="")
        self._task, self._state = task, state
        self._logs = task.logs if task.ranks.is_first else ()
        self._totals: dict[str, float] = {}
        self._n_summed = 0

    def __enter__(self) -> Self:
        for log in self._logs:
            log.begin(self._state.step)
        if self._task.ranks.is_first:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        for log in self._logs:
            log.close()

    def note(self, numbers: Mapping[str, float]) -> None:
        """Add the losses of the step just completed."""
        for key, value in numbers.items():
            self._totals[key] = self._totals.get(key, 0.0) + value
        self._n_summed += 1
        step = self._state.step
        if step % self._task.log_every == 0 or step == self._task.n_steps:
            means = {key: round(value / self._n_summed, 5) for key, value in self._totals.items()}
            for log in self._logs:
                log.write({"step": step, "seconds": round(self._state.seconds, 1), **means})
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
