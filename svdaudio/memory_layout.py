"""One memory layout for all numbers that networks compute with, so that equal numbers yield equal results.

Matrix kernels choose their code path by address and stride: the same weights, mapped from a file at 44 bytes past a
multiple of 64 or stored as the transpose of another tensor, yield scores that differ in the last bits. Therefore every
weight of a network, and every array that a stage passes to a network, has the canonical layout: contiguous, at an
address that is a multiple of 64 bytes. Tensors that already have it, such as those in a quick copy mapped into memory,
are used directly; all others are copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, chain
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

ALIGNMENT_BYTES = 64
"""Size of a cache line and of the widest vector register; torch aligns its allocations to the same."""


def is_canonical(tensor: Tensor) -> bool:
    """Whether a tensor has the canonical layout. Tensors on other devices than the CPU always count as canonical."""
    if tensor.device.type != "cpu":
        return True
    # `is_contiguous` ignores dimensions of size 1, but convolutions choose their memory format by those strides, too.
    strides = [*accumulate(reversed(tensor.shape[1:]), lambda stride, size: stride * max(size, 1), initial=1)][::-1]
    return tensor.data_ptr() % ALIGNMENT_BYTES == 0 and list(tensor.stride()) == strides[: tensor.ndim]


def canonical(tensor: Tensor) -> Tensor:
    """The tensor itself if it has the canonical layout, otherwise a copy that has it."""
    return tensor if is_canonical(tensor) else torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor)


def to_tensor(array: NDArray[Any]) -> Tensor:
    """An array as a tensor in the canonical layout; it shares the array's memory if that has this layout."""
    return canonical(torch.from_numpy(array))


def fill_network(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Make these tensors, in the canonical layout, the weights of a network.

    All loaders use this, whatever format they read, because `Module.load_state_dict` keeps the layout of the file.

    Raises:
        RuntimeError: an entry is missing, unknown, or of another shape.
    """
    network.load_state_dict({name: canonical(tensor) for name, tensor in state.items()}, strict=True, assign=True)


def canonicalize_network(network: nn.Module) -> None:
    """Move the weights of a network that another library has loaded into the canonical layout."""
    for tensor in chain(network.parameters(), network.buffers()):
        tensor.data = canonical(tensor.data)
