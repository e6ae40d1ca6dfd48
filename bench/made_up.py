"""Made-up weights, the same everywhere: for timings and parity tests, where what a model has learnt does not matter."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

from svdaudio.ssv2a import SSV2A, Config


def made_up_tensor(key: str, shape: Sequence[int]) -> Tensor:
    """Normal numbers seeded by the entry's name, scaled so that signals neither vanish nor explode.

    A matrix is divided by the root of its row's length; a vector called "weight" is near 1, all else near 0.
    """
    numbers = torch.randn(tuple(shape), generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))
    if len(shape) >= 2:
        return numbers / math.sqrt(math.prod(shape[1:]))
    return 1 + 0.1 * numbers if len(shape) == 1 and key.endswith("weight") else 0.1 * numbers


def made_up_ssv2a(config: Config | None = None) -> SSV2A:
    """An SSV2A of made-up weights, full size unless told otherwise, in evaluation mode."""
    with torch.device("meta"):
        model = SSV2A(config or Config())
    state = {key: made_up_tensor(key, value.shape) for key, value in model.state_dict().items()}
    model.load_state_dict(state, strict=True, assign=True)
    return model.requires_grad_(requires_grad=False).eval()
