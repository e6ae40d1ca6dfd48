"""The published cycle_mix, round by round and candidate by candidate, on this project's modules.

This is the reference for measurements and tests of the fast form: every round calls the generator for all slots, every
candidate shuffles the slots and calls the remixer, and every mean is a mean of draws.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Generator, Tensor
from torch.nn import functional

from svdaudio.models.ssv2a import SSV2A


def mean_of_draws(mu: Tensor, log_sigma: Tensor, n_draws: int, generator: Generator) -> Tensor:
    """The mean of n draws."""
    noise = torch.randn(n_draws, *mu.shape, generator=generator)
    return (mu + torch.exp(0.5 * log_sigma) * noise).mean(0)


@torch.no_grad()
def plain_rounds(
    model: SSV2A, clips: Tensor, *, samples: int, var_samples: int, generator: Generator
) -> Iterator[Tensor]:
    """The best CLAP embeddings [batch, 512] after each round, endlessly."""
    n_batch, n_slots = clips.shape[:2]
    codes = mean_of_draws(*model.encode_clips(clips), var_samples, generator)
    best_score = torch.ones(n_batch)
    best = torch.zeros(n_batch, model.config.clap_dim)
    n_round = 0
    while True:
        slot_claps = functional.normalize(mean_of_draws(*model.generate(codes), var_samples, generator), dim=-1)
        slot_claps[:, 0] = 0
        mixed_codes = codes.clone()
        if n_round:
            mixed_codes[:, 0] = mean_of_draws(*model.encode_claps(best), var_samples, generator)
        for _ in range(samples):
            order = torch.randperm(n_slots, generator=generator)
            mu, log_sigma = model.remix(mixed_codes[:, order], clips[:, order])
            candidate = functional.normalize(mean_of_draws(mu, log_sigma, var_samples, generator), dim=-1)
            score = functional.cosine_similarity(candidate[:, None], slot_claps, dim=-1).std(-1)
            better = score < best_score
            best_score = torch.where(better, score, best_score)
            best = torch.where(better[:, None], candidate, best)
        n_round += 1
        yield best


def plain_cycle_mix(
    model: SSV2A, clips: Tensor, *, its: int, samples: int, var_samples: int, generator: Generator
) -> Tensor:
    """The best CLAP embeddings [batch, 512] after `its` + 1 rounds."""
    rounds = plain_rounds(model, clips, samples=samples, var_samples=var_samples, generator=generator)
    for _ in range(its):
        next(rounds)
    return next(rounds)
