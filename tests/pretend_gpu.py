"""A simulated GPU: tensors that report being on it, and cannot be combined with tensors of the CPU.

    with PretendGpu():
        there = torch.ones(3, device="cuda")
        there + torch.ones(3)   # RuntimeError, as on a real one
        there.numpy()           # TypeError
        there.cpu()             # a CPU tensor again

The CPU computes every number, so a program that places all tensors correctly gives the same bits as without a GPU.
This tests devices, generators and transfers back, but not the kernels, memory or speed of a real GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

GPU = torch.device("cuda", 0)

# These accept tensors of both devices: they copy, or read an index.
_MAY_MIX = {Tensor.copy_, Tensor.__setitem__, Tensor.__getitem__}
# These access CPU memory, which a GPU tensor cannot provide.
_PROCESSOR_ONLY = {Tensor.numpy, Tensor.__array__}
_NEW = {Tensor.new_empty, Tensor.new_full, Tensor.new_ones, Tensor.new_tensor, Tensor.new_zeros}


class OnGpu(Tensor):
    """A tensor that reports being on the GPU."""

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Also handles calls outside the mode, which is not active in other threads."""
        return _call(func, args, dict(kwargs or {}))


class PretendGpu(TorchFunctionMode):
    """While active, "cuda" is a device that tensors can be created on and moved to.

    torch reports no GPU, even if there is one, so that networks that select one by themselves do not mix its tensors
    with these.
    """

    def __enter__(self) -> Self:
        self._hidden = patch("torch.cuda.is_available", return_value=False)
        self._hidden.start()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._hidden.stop()

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Intercepts every call of torch."""
        return _call(func, args, dict(kwargs or {}))


def _call(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    with torch._C.DisableTorchFunctionSubclass():
        there = any(isinstance(one, OnGpu) for one in _tensors(args, kwargs))
        name = getattr(func, "__name__", "")
        if name == "__get__" and isinstance(args[0], OnGpu):
            attribute = getattr(func, "__self__", None)
            known = {Tensor.device: GPU, Tensor.is_cuda: True, Tensor.is_cpu: False}
            if attribute in known:
                return known[attribute]
        if func in _PROCESSOR_ONLY and there:
            raise TypeError(f"can't convert {GPU} device type tensor to numpy")
        if func is torch._has_compatible_shallow_copy_type:
            return isinstance(args[0], OnGpu) == isinstance(args[1], OnGpu)
        if func is Tensor.cpu:
            return _placed(func(*args, **kwargs), on_gpu=False)
        if func is Tensor.to:
            return _moved(*args, **kwargs)
        if func is Tensor.type_as:
            return _placed(func(*args), on_gpu=isinstance(args[1], OnGpu))
        _check_generator(args, kwargs, there=there)
        if "device" in kwargs and (func in _NEW or not there):
            there = kwargs["device"] is not None and torch.device(kwargs["device"]).type == GPU.type
            kwargs["device"] = torch.device("cpu")
        elif func not in _MAY_MIX:
            _check_places(name, args, kwargs)
        result = func(*args, **kwargs)
        return tree_map_only(Tensor, lambda one: _placed(one, on_gpu=True), result) if there else result


def _tensors(args: Any, kwargs: Any) -> Iterator[Tensor]:
    return (one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor))


def _placed(tensor: Tensor, *, on_gpu: bool) -> Tensor:
    if on_gpu == isinstance(tensor, OnGpu):
        return tensor
    return tensor.as_subclass(OnGpu if on_gpu else Tensor)  # pyright: ignore[reportArgumentType]


def _moved(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    on_gpu = isinstance(tensor, OnGpu)
    like = args[0] if args and isinstance(args[0], Tensor) else kwargs.get("other")
    if like is not None:
        on_gpu = isinstance(like, OnGpu)
    requested = [one for one in (*args, kwargs.get("device")) if isinstance(one, str | torch.device)]
    if requested:
        on_gpu = torch.device(requested[0]).type == GPU.type
        args = tuple("cpu" if isinstance(one, str | torch.device) else one for one in args)
        kwargs = {name: "cpu" if name == "device" else one for name, one in kwargs.items()}
    return _placed(tensor.to(*args, **kwargs), on_gpu=on_gpu)


def _check_generator(args: Any, kwargs: Mapping[str, Any], *, there: bool) -> None:
    """Refuse to draw numbers for the GPU from a CPU generator, the only kind here."""
    device = kwargs.get("device")
    there = there if device is None else torch.device(device).type == GPU.type
    if there and any(isinstance(one, torch.Generator) for one in (*args, *kwargs.values())):
        raise RuntimeError(f"Expected a '{GPU.type}' device type for generator but found 'cpu'")


def _check_places(name: str, args: Any, kwargs: Any) -> None:
    """Check devices as torch does: a scalar may be on the CPU."""
    tensors = list(_tensors(args, kwargs))
    if any(isinstance(one, OnGpu) for one in tensors) and any(
        not isinstance(one, OnGpu) and one.ndim for one in tensors
    ):
        raise RuntimeError(f"Expected all tensors to be on the same device, but found {GPU} and cpu in {name}")
