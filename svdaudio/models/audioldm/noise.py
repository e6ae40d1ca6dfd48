"""The noise of candidates: of a batch together, or of each by its own number.

Version 0.1.0 drew the noise of all candidates together, so another number of them made other sounds of each. Here a
candidate's noise depends on the seed and its number alone. The first three draw together whatever is asked for, which
gives three candidates, the default, the noise that they always had.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from svdaudio.models.audioldm.settings import N_TOGETHER
from svdaudio.randomness import stage_generator

Noise = Callable[[Sequence[int]], Tensor]
"""The next standard normal numbers of that shape [candidate, ...], on the CPU; called at the start and at each step."""

STAGE = "diffuse"


def joint_noise(generator: torch.Generator) -> Noise:
    """The noise of a batch from one generator: a candidate's depends on how many there are."""
    return lambda shape: torch.randn(tuple(shape), generator=generator)


def candidate_noise(seed: int, numbers: Sequence[int]) -> Noise:
    """The noise of candidates by their numbers.

    Args:
        seed: of the run.
        numbers: of the candidates of a batch, from 0; all below `N_TOGETHER`, or a single one.
    """
    if numbers[0] >= N_TOGETHER:
        return joint_noise(stage_generator(seed, f"{STAGE}.{numbers[0]}"))
    draw, rows = joint_noise(stage_generator(seed, STAGE)), list(numbers)
    return lambda shape: draw((N_TOGETHER, *shape[1:]))[rows]


def batches(n_candidates: int) -> list[list[int]]:
    """Which candidates go through the network together: the first three if all are asked for, others alone.

    Kernels round by the size of their batch, so a candidate's batch must not depend on how many candidates follow it.
    """
    first = [list(range(N_TOGETHER))] if n_candidates >= N_TOGETHER else []
    return [*first, *([number] for number in range(N_TOGETHER if first else 0, n_candidates))]
