"""The processes that train one model together: which one this is, and what they exchange.

`torchrun` describes them in the environment (`RANK`, `WORLD_SIZE`, …), and `svdaudio train … --devices N` does, too.
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

PATIENCE = timedelta(days=2)
"""How long processes wait for the first one, which embeds the frozen side of a large data set."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """One of several processes."""

    rank: int = 0
    n_ranks: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until every process is here."""
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
        """The rows of all processes, those of the first one first; gradients flow back to where rows come from."""
        return rows if self.n_ranks == 1 else torch.cat(exchange.all_gather(rows))


ALONE = Ranks()


@contextmanager
def joined_ranks(device: torch.device) -> Generator[Ranks]:
    """Join the processes that the environment describes; alone if it describes none."""
    if not is_launched():
        yield ALONE
        return
    on_gpu = device.type == "cuda"
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE, device_id=device if on_gpu else None)
    try:
        yield Ranks(rank=distributed.get_rank(), n_ranks=distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
