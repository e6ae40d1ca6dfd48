"""Trains a small network without batch norm, in any process: `python training_toy.py FOLDER [DIE_AT]`.

With DIE_AT, it kills itself in that step, like a power failure. Every process of a training writes its weights.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from svdaudio.pretraining.feed import Order
from svdaudio.pretraining.losses import contrastive, identity_targets
from svdaudio.pretraining.ranks import joined_ranks
from svdaudio.pretraining.retrieval import Recall
from svdaudio.pretraining.settings import CiapSettings
from svdaudio.pretraining.train import train

N_ITEMS = 22
ORDER = Order(indices=tuple(range(N_ITEMS)), batch=4, accumulate=2, epochs=4, steps=0, seed=5)


class ToySubject:
    """Random vectors and their products with a fixed matrix, which the network learns."""

    terms = ("loss",)

    def __init__(self, die_at=None):
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.0), nn.Linear(8, 5))
        self.config = {}
        self._numbers = torch.randn(N_ITEMS, 6)
        self._answers = functional.normalize(self._numbers @ torch.randn(6, 5))
        self._die_at, self._n_called = die_at, 0
        self.precisions = set()

    def example(self, index, rng):
        return {"x": self._numbers[index].numpy() + 0.01 * rng.normal(size=6).astype(np.float32)}

    def losses(self, forward, batch, places, ranks):
        self._n_called += 1
        if self._die_at is not None and self._n_called == self._die_at * ORDER.accumulate:
            os.kill(os.getpid(), signal.SIGKILL)
        self.network[2].register_forward_hook(lambda module, given, made: self.precisions.add(made.dtype))
        seen = ranks.gathered(functional.normalize(forward(batch["x"])))
        answers = self._answers[[index for _, index in places]]
        return {"loss": contrastive(seen, answers, scale=5.0, targets=identity_targets(len(seen)))}

    def measure(self, network, *, with_intervals):
        near = float((functional.normalize(network(self._numbers)) * self._answers).sum(dim=1).mean())
        return [Recall(name="recall@1", value=near, chance=0.0, n=N_ITEMS, n_groups=N_ITEMS)]


def run(folder, subject=None, *, save_every_s=0.0, on_epoch=lambda line: None, **settings):
    """Train in a folder, and return the outcome."""
    parsed = CiapSettings(**{"batch": 4, "workers": 0, "learning_rate": 0.01, "clip_norm": 0.0, **settings})
    device = torch.device("cpu")
    with joined_ranks(device) as ranks:
        outcome = train(
            subject or ToySubject(), parsed, ORDER, folder=folder, device=device, ranks=ranks, on_epoch=on_epoch,
            save_every_s=save_every_s,
        )  # fmt: skip
    torch.save(dict(outcome.state), folder / f"weights-{ranks.rank}.pt")
    return outcome


if __name__ == "__main__":
    run(Path(sys.argv[1]), ToySubject(int(sys.argv[2]) if len(sys.argv) > 2 else None))
