"""The processes that train one model together, and the exchange between them.

`torchrun` and `svdaudio train … --devices N` describe them in the environment (`RANK`, `WORLD_SIZE`, …).
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from jaxtyping import Float
from torch import Tensor, distributed
from torch.distributed.nn import functional as exchange

from svdaudio.pretraining.launch import is_launched

TIMEOUT = timedelta(days=2)
"""Longest wait for the first process, which embeds the frozen side of a large data set."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """The place of this process among those that train together."""

    rank: int = 0
    n_ranks: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until every process gets here."""
        if self.n_ranks > 1:
            distributed.barrier()

    def agreed(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set in any process."""
        if self.n_ranks == 1:
            return flag
        common = torch.tensor(int(flag), device=device)
        distributed.all_reduce(common, distributed.ReduceOp.MAX)
        return bool(common.item())

    def gathered(self, rows: Float[Tensor, "n dim"]) -> Float[Tensor, "all dim"]:
        """The rows of all processes in order of rank; gradients flow back to the process that a row comes from."""
        return rows if self.n_ranks == 1 else torch.cat(exchange.all_gather(rows))


ALONE = Ranks()


@contextmanager
def joined_ranks(device: torch.device) -> Generator[Ranks]:
    """Join the processes that the environment describes; without any, train alone."""
    if not is_launched():
        yield ALONE
        return
    on_gpu = device.type == "cuda"
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=TIMEOUT, device_id=device if on_gpu else None)
    try:
        yield Ranks(rank=distributed.get_rank(), n_ranks=distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
