"""Batches of a data set, read by worker processes in an order that depends only on the seed."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from svdaudio.errors import ConfigError
from svdaudio.pretraining.ranks import Ranks

Place = tuple[int, int]
"""Epoch and index of an item."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """Which items are in which batch. The last items of an epoch are skipped if they do not fill a batch."""

    indices: tuple[int, ...]
    """The items to train on."""
    batch: int
    accumulate: int
    """Batches per step."""
    epochs: int
    steps: int
    """Steps of the whole training, instead of `epochs`; 0 to use `epochs`."""
    seed: int

    @property
    def batches_per_epoch(self) -> int:
        """Full batches in an epoch."""
        return len(self.indices) // self.batch

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch, rounded and at least 1."""
        return max(1, round(self.batches_per_epoch / self.accumulate))

    @property
    def n_steps(self) -> int:
        """Steps of the whole training."""
        return self.steps or -(-self.epochs * self.batches_per_epoch // self.accumulate)

    def check(self, ranks: Ranks) -> None:
        """Check that the data fill a batch and that the devices can share it.

        Raises:
            ConfigError: they do not, or cannot.
        """
        if not self.batches_per_epoch:
            raise ConfigError(
                "the batch is larger than the training data",
                expected=f"batch at most {len(self.indices)}, the number of items to train on",
                got=self.batch,
                fix=f"use --set batch={len(self.indices)}" if len(self.indices) > 1 else "add items",
            )
        if self.batch % ranks.n_ranks:
            raise ConfigError(
                "the batch cannot be shared among the devices",
                expected=f"a multiple of {ranks.n_ranks}",
                got=self.batch,
                fix=f"use --set batch={ranks.n_ranks * max(1, self.batch // ranks.n_ranks)}",
            )

    def epochs_done(self, step: int) -> int:
        """Whole epochs after the given number of steps."""
        return step * self.accumulate // self.batches_per_epoch

    def places(self, batch: int) -> list[Place]:
        """Epoch and items of a batch; batches are counted from the start of the training."""
        epoch, within = divmod(batch, self.batches_per_epoch)
        order = _permutation(len(self.indices), self.seed, epoch)
        chosen = order[within * self.batch : (within + 1) * self.batch]
        return [(epoch, self.indices[int(place)]) for place in chosen]


@lru_cache(maxsize=2)
def _permutation(n: int, seed: int, epoch: int) -> tuple[int, ...]:
    return tuple(int(place) for place in np.random.default_rng((seed, epoch)).permutation(n))


class Examples(Protocol):
    """Prepares items for a network."""

    def example(self, index: int, rng: np.random.Generator) -> Mapping[str, np.ndarray[Any, Any]]:
        """The network's inputs for an item; all random choices are drawn from `rng`."""
        ...


class _Prepared(Dataset[Mapping[str, Any]]):
    """Examples by place, each with its own generator, so that it is the same in any process."""

    def __init__(self, examples: Examples, seed: int) -> None:
        self._examples, self._seed = examples, seed

    def __getitem__(self, place: Any) -> Mapping[str, Any]:
        epoch, index = place
        return self._examples.example(index, np.random.default_rng((self._seed, epoch, index)))


class _Batches(Sampler[list[Place]]):
    """This process's share of each batch, from a first batch on."""

    def __init__(self, order: Order, ranks: Ranks, first: int) -> None:
        self._order, self._ranks, self._first = order, ranks, first

    def __iter__(self) -> Iterator[list[Place]]:
        share = self._order.batch // self._ranks.n_ranks
        begin = share * self._ranks.rank
        for number in range(self._first, self._order.n_steps * self._order.accumulate):
            yield self._order.places(number)[begin : begin + share]


class Feed:
    """Prepared batches in order, starting at the first one requested."""

    def __init__(self, examples: Examples, order: Order, *, ranks: Ranks, n_workers: int, device: torch.device) -> None:
        self._prepared = _Prepared(examples, order.seed)
        self._order, self._ranks, self._n_workers, self._device = order, ranks, n_workers, device
        self._batches: Iterator[Mapping[str, Tensor]] | None = None

    def at(self, step: int, part: int) -> Mapping[str, Tensor]:
        """This process's share of a batch, on its device. Steps and parts must be requested in order."""
        if self._batches is None:
            first = step * self._order.accumulate + part
            self._batches = iter(
                DataLoader(
                    self._prepared,
                    batch_sampler=_Batches(self._order, self._ranks, first),
                    num_workers=self._n_workers,
                    worker_init_fn=_ignore_signals,
                    pin_memory=self._device.type == "cuda",
                )
            )
        return {name: values.to(self._device, non_blocking=True) for name, values in next(self._batches).items()}

    def places(self, step: int, part: int) -> Sequence[Place]:
        """Epoch and items of a whole batch, over all processes."""
        return self._order.places(step * self._order.accumulate + part)


def _ignore_signals(worker: int) -> None:
    """Ignore Ctrl-C: the training ends its workers after it has saved its state."""
    del worker
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
