"""Reading the weight files of others, without running what they hold, and filling networks with them strictly.

A `.pt`, `.pth` or `.ckpt` file is a pickle, and unpickling may run any code. `read_plain` lets torch refuse all but
tensors and plain values. `read_inert` is for files that hold whole objects (ultralytics'): tensors are rebuilt, and
every class or function that the pickle names is replaced by an empty shell that only keeps what it is given.
"""

from __future__ import annotations

import pickle
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from svdaudio.errors import CheckpointError
from svdaudio.memory_layout import fill_network

M = TypeVar("M", bound=nn.Module)

_UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError, AttributeError, TypeError,
    IndexError, ImportError,
)  # fmt: skip


def require_file(path: Path, fix: str = "run `svdaudio checkpoints list` to see where weights come from") -> None:
    """Refuse a checkpoint that is not there.

    Raises:
        CheckpointError: there is no such file.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}", fix=fix)


def read_plain(path: Path, *, what: str = "a dict of state dicts") -> Mapping[str, Any]:
    """What a PyTorch file of tensors and plain values holds; mapped into memory where its format allows.

    Args:
        path: the file.
        what: what it should hold, for the error.

    Raises:
        CheckpointError: it is missing, damaged, no PyTorch file, or needs code to be run.
    """
    require_file(path)
    try:
        contents: object = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except _UNREADABLE as error:
        raise _unreadable(path, error, "a PyTorch file of plain tensors") from error
    return _mapping(path, contents, what)


def read_inert(path: Path, *, what: str = "a dict") -> Mapping[str, Any]:
    """What a PyTorch file with objects in it holds: tensors and plain values, and `Shell`s in place of all objects.

    Nothing that the file names is imported or called.

    Raises:
        CheckpointError: it is missing, damaged, or no PyTorch file.
    """
    require_file(path)
    try:
        contents: object = torch.load(
            path,
            map_location="cpu",
            weights_only=False,
            mmap=zipfile.is_zipfile(path),
            pickle_module=_INERT_PICKLE,
        )
    except _UNREADABLE as error:
        raise _unreadable(path, error, "a PyTorch file") from error
    return _mapping(path, contents, what)


class Shell:
    """What stands for an object of a class that is not imported: its attributes, and nothing that acts."""

    named: str = ""
    """Module and name of the class or function in the pickle."""

    def __new__(cls, *given: Any, **also: Any) -> Self:
        """Take whatever a constructor would get, and forget it."""
        del given, also
        return super().__new__(cls)

    def __init__(self, *given: Any, **also: Any) -> None:
        del given, also

    def __setstate__(self, state: object) -> None:
        """Keep attributes; a state of another form is kept whole."""
        if isinstance(state, Mapping):
            self.__dict__.update({str(key): value for key, value in cast("Mapping[Any, Any]", state).items()})
        else:
            self.__dict__["state"] = state

    def __setitem__(self, key: object, value: object) -> None:
        """A dict's or list's items are not needed."""

    def append(self, value: object) -> None:
        """As `__setitem__`."""

    def extend(self, values: Iterable[object]) -> None:
        """As `__setitem__`."""


def shell_state(module: Shell, prefix: str = "") -> dict[str, Tensor]:
    """The state dict of a pickled torch module whose classes were never imported."""
    state: dict[str, Tensor] = {}
    attributes = vars(module)
    unsaved: Any = attributes.get("_non_persistent_buffers_set") or ()
    for kind in ("_parameters", "_buffers"):
        for name, value in attributes.get(kind, {}).items():
            if isinstance(value, Tensor) and not (kind == "_buffers" and name in unsaved):
                state[f"{prefix}{name}"] = value.detach()
    for name, child in attributes.get("_modules", {}).items():
        if isinstance(child, Shell):
            state.update(shell_state(child, f"{prefix}{name}."))
    return state


_rebuilding: Any = import_module("torch._utils")

_HARMLESS: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
    **{
        ("torch._utils", name): getattr(_rebuilding, name)
        for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")
    },
    **{("torch", name): getattr(torch, name) for name in dir(torch) if name.endswith("Storage") and name[0].isupper()},
    **{
        ("torch", name): getattr(torch, name)
        for name in ("float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool")
    },
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
}
"""The only names that `read_inert` gives their meaning."""


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) in _HARMLESS:
            return _HARMLESS[module_name, global_name]
        return type(global_name, (Shell,), {"named": f"{module_name}.{global_name}"})


def _inert_load(file: Any, **options: Any) -> Any:
    """Old files begin with a few pickles of plain values, which torch reads by this."""
    return _InertUnpickler(file, **options).load()


_INERT_PICKLE = types.ModuleType("svdaudio_inert_pickle")
_INERT_PICKLE.__dict__.update(Unpickler=_InertUnpickler, load=_inert_load)


class WithoutInitialisation(TorchFunctionMode):
    """Networks are built with whatever lies in memory: their random weights would be overwritten anyway.

    So nothing is drawn from torch's global generator, which belongs to the program that uses this library.

    Some try themselves on zeros while they are built, to learn their strides; there only shapes matter.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if func in _INITIALISERS:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        if func in _DRAWS:
            return torch.empty(*args, **{name: value for name, value in kwargs.items() if name != "generator"})
        if func is torch.conv2d:
            on_meta = [value.to("meta") if isinstance(value, Tensor) else value for value in args]
            return torch.empty(func(*on_meta, **kwargs).shape)
        return func(*args, **kwargs)


_DRAWS = frozenset({torch.rand, torch.randn})
_INITIALISERS = frozenset(
    {nn.init.uniform_, nn.init.normal_, nn.init.trunc_normal_, nn.init.constant_, nn.init.kaiming_uniform_,
     torch.Tensor.uniform_, torch.Tensor.normal_, torch.Tensor.erfinv_}
)  # fmt: skip


def fill(
    build: Callable[[], M],
    tensors: Mapping[str, object],
    path: Path,
    *,
    fix: str = "check that this is the published file, whole",
) -> M:
    """A network around the given tensors themselves, in float32 and evaluation mode, if every entry fits.

    No time goes into random weights, and none into copies of what is float32 and in the canonical layout already.

    Args:
        build: makes the network.
        tensors: its state dict. Floating tensors of other types are turned into float32.
        path: where they come from, for errors.
        fix: what to do when they do not fit.

    Raises:
        CheckpointError: an entry is missing, unknown, or of another shape; the first is named.
    """
    with WithoutInitialisation():
        model = build()
    own = model.state_dict()
    for what, keys in (("lacks", own.keys() - tensors.keys()), ("has an unknown", tensors.keys() - own.keys())):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise CheckpointError(f"the checkpoint {path} {what} entry {min(keys)}{more}", fix=fix)
    fitted: dict[str, Tensor] = {}
    for key, wanted in own.items():
        value = tensors[key]
        if not isinstance(value, Tensor) or value.shape != wanted.shape:
            raise CheckpointError(
                f"the checkpoint {path} has another shape for {key}",
                expected=list(wanted.shape),
                got=list(value.shape) if isinstance(value, Tensor) else type(value).__name__,
                fix=fix,
            )
        fitted[key] = value.detach().float() if value.is_floating_point() else value.detach()
    fill_network(model, fitted)
    return model.eval()


def names(contents: Mapping[str, Any]) -> str:
    """A few names of what a file holds, for an error."""
    found = sorted(str(name) for name in contents)
    return ", ".join(found[:4]) + (", …" if len(found) > 4 else "") if found else "nothing"


def _mapping(path: Path, contents: object, what: str) -> Mapping[str, Any]:
    if not isinstance(contents, Mapping):
        raise CheckpointError(f"the checkpoint {path} is of another kind", expected=what, got=type(contents).__name__)
    return cast("Mapping[str, Any]", contents)


def _unreadable(path: Path, error: BaseException, expected: str) -> CheckpointError:
    reason = str(error).strip().splitlines()
    return CheckpointError(
        f"the checkpoint {path} cannot be read", expected=expected, got=reason[0] if reason else type(error).__name__
    )
