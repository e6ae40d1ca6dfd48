"""Optimisers, and their learning rates for every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import nn

from svdaudio.pretraining.settings import ScheduleSettings, TrainSettings

LEAST_MOMENTUM = 0.8
"""Lowest momentum of a cyclic schedule, reached at the highest rate, as in torch's CyclicLR."""


def build_optimiser(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """The optimiser for all parameters; AdamW does not decay biases and norms."""
    parameters = [one for one in model.parameters() if one.requires_grad]
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimiser == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=settings.momentum, weight_decay=decay)
    if settings.optimiser == "adam":
        return torch.optim.Adam(parameters, lr=rate, weight_decay=decay)
    groups = [
        {"params": [one for one in parameters if one.ndim >= 2]},
        {"params": [one for one in parameters if one.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, weight_decay=decay)


def rate_at(step: int, *, schedule: ScheduleSettings, peak: float, n_steps: int, steps_per_epoch: int) -> float:
    """Learning rate of a step.

    Args:
        step: step of the optimiser, counted from 0.
        schedule: the schedule.
        peak: the highest rate.
        n_steps: number of steps of the whole training.
        steps_per_epoch: number of steps in an epoch.
    """
    epoch = step // steps_per_epoch
    if schedule.form == "step":
        return peak * schedule.factor ** (epoch // schedule.step_epochs)
    if schedule.form == "cyclic":
        return schedule.low + (peak - schedule.low) * _height(epoch, schedule)
    if schedule.form == "constant":
        return peak
    n_warm_up = round(schedule.warm_up * n_steps)
    if step < n_warm_up:
        return peak * (step + 1) / n_warm_up
    progress = (step - n_warm_up) / max(1, n_steps - n_warm_up)
    return peak * (schedule.final + (1 - schedule.final) * 0.5 * (1 + math.cos(math.pi * progress)))


def _height(epoch: int, schedule: ScheduleSettings) -> float:
    """Height of the schedule's triangle wave at an epoch, 0 to 1."""
    within = epoch % (schedule.up_epochs + schedule.down_epochs)
    if within <= schedule.up_epochs:
        return within / schedule.up_epochs
    return 1 - (within - schedule.up_epochs) / schedule.down_epochs


def rate_setter(
    optimiser: torch.optim.Optimizer, settings: TrainSettings, *, n_steps: int, steps_per_epoch: int
) -> Callable[[int], Mapping[str, float]]:
    """A function that sets the optimiser's rates for a step, and returns them for the log."""
    schedule = settings.schedule
    cycles = schedule.form == "cyclic" and settings.optimiser == "sgd" and settings.momentum > LEAST_MOMENTUM

    def set_rates(step: int) -> Mapping[str, float]:
        rate = rate_at(
            step, schedule=schedule, peak=settings.learning_rate, n_steps=n_steps, steps_per_epoch=steps_per_epoch
        )
        for group in optimiser.param_groups:
            group["lr"] = rate
            if cycles:
                high = settings.momentum
                group["momentum"] = high - (high - LEAST_MOMENTUM) * _height(step // steps_per_epoch, schedule)
        return {"learning_rate": rate}

    return set_rates
