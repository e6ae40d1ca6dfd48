"""The noise of candidates: drawn for a whole batch, or for each candidate by its number.

Version 0.1.0 drew the noise of all candidates together, so their sounds depended on how many there were. Here a
candidate's noise depends only on the seed and its number. The first three always draw together, so that three
candidates, the default, have the same noise as in earlier versions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from svdaudio.models.audioldm.settings import N_TOGETHER
from svdaudio.randomness import stage_generator

Noise = Callable[[Sequence[int]], Tensor]
"""Draws standard normal numbers of a shape [candidate, ...], on the CPU; called at the start and at each step."""

STAGE = "diffuse"


def joint_noise(generator: torch.Generator) -> Noise:
    """The noise of a batch from one generator: each candidate's noise depends on how many there are."""
    return lambda shape: torch.randn(tuple(shape), generator=generator)


def candidate_noise(seed: int, numbers: Sequence[int]) -> Noise:
    """The noise of candidates by their numbers.

    Args:
        seed: of the run.
        numbers: candidates of a batch, counted from 0; all below `N_TOGETHER`, or a single one.
    """
    if numbers[0] >= N_TOGETHER:
        return joint_noise(stage_generator(seed, f"{STAGE}.{numbers[0]}"))
    draw, rows = joint_noise(stage_generator(seed, STAGE)), list(numbers)
    return lambda shape: draw((N_TOGETHER, *shape[1:]))[rows]


def batches(n_candidates: int) -> list[list[int]]:
    """Candidates that go through the network together: the first three if there are that many, others alone.

    Rounding depends on the batch size, so a candidate's batch must not depend on how many candidates follow it.
    """
    first = [list(range(N_TOGETHER))] if n_candidates >= N_TOGETHER else []
    return [*first, *([number] for number in range(N_TOGETHER if first else 0, n_candidates))]
