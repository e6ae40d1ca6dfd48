"""Random numbers that belong to their stage: one generator per stage, never the global state.

A cached stage draws nothing, so with a shared stream the following stages would get other numbers. The seed of a
stage is derived from the run's seed and the stage's name; the original, edited and manipulated sounds therefore use
the same noise, and differ only by their conditioning.
"""

from __future__ import annotations

import hashlib

import torch


def stage_seed(seed: int, stage: str) -> int:
    """The seed of a stage, 0 ≤ value < 2⁶³: the first eight bytes of a sha256 over both, one bit dropped."""
    digest = hashlib.sha256(f"svdaudio/{stage}/{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def stage_generator(seed: int, stage: str) -> torch.Generator:
    """A CPU generator for one stage. Draw on the CPU and move, so that every device sees the same numbers."""
    return torch.Generator().manual_seed(stage_seed(seed, stage))
