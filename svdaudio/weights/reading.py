"""Read third-party weight files without executing code in them, and load them strictly into networks.

A `.pt`, `.pth` or `.ckpt` file is a pickle, and unpickling may run any code. `read_plain` lets torch reject everything
but tensors and plain values. `read_inert` is for files that hold whole objects (ultralytics'): tensors are rebuilt, and
every class or function that the pickle names is replaced by an empty shell, which only stores attributes.
`read_torchscript` reads the tensors of a TorchScript archive the same way.
"""

from __future__ import annotations

import pickle
import types
import warnings
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from svdaudio.errors import CheckpointError, SvdAudioError
from svdaudio.memory_layout import fill_network
from svdaudio.weights.torch_files import is_archive, is_torchscript, read_torch_file

M = TypeVar("M", bound=nn.Module)

MAX_REASON = 200
MAX_ENTRIES = 100_000
MAX_DEPTH = 100
"""Limits on the modules of one file: a module in a pickle may contain itself."""


def require_file(path: Path, fix: str = "run `svdaudio checkpoints list` to see where weights come from") -> None:
    """Reject a missing checkpoint.

    Raises:
        CheckpointError: the file does not exist.
    """
    if not path.is_file():
        raise CheckpointError(f"file not found: {path}", fix=fix)


def read_plain(path: Path, *, what: str = "a dict of state dicts") -> Mapping[str, Any]:
    """Content of a PyTorch file of tensors and plain values; mapped into memory where its format allows.

    Args:
        path: the file.
        what: expected content, for the error.

    Raises:
        CheckpointError: it is missing, damaged, not a PyTorch file, or requires executing code.
    """
    require_file(path)
    with unreadable(path, "a PyTorch file of plain tensors"), warnings.catch_warnings():
        # The warning is irrelevant: unreadable files are reported anyway.
        warnings.filterwarnings("ignore", message="Detected pickle protocol")
        contents: object = torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive(path))
    return _mapping(path, contents, what)


def read_inert(path: Path, *, what: str = "a dict") -> Mapping[str, Any]:
    """Content of a PyTorch file that contains objects: tensors and plain values, with `Shell`s in place of all objects.

    Nothing that the file names is imported or called.

    Raises:
        CheckpointError: it is missing, damaged, or not a PyTorch file.
    """
    require_file(path)
    if is_torchscript(path):
        raise CheckpointError(f"the checkpoint {path} is of the wrong kind", expected=what, got="TorchScript")
    with unreadable(path, "a PyTorch file"):
        contents = read_torch_file(path, _inert_unpickler)
    return _mapping(path, contents, what)


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """The state dict of the module in a TorchScript archive, mapped into memory. The module's code is ignored.

    Raises:
        CheckpointError: it is missing, damaged, or not a TorchScript archive.
    """
    require_file(path)
    if not is_torchscript(path):
        raise CheckpointError(f"the checkpoint {path} is of the wrong kind", expected="a TorchScript archive")
    with unreadable(path, "a TorchScript archive"):
        module = read_torch_file(path, _inert_unpickler)
        if not isinstance(module, Shell):
            raise pickle.UnpicklingError("it contains no module")
        return _attributes_state(module)


@contextmanager
def unreadable(path: Path, expected: str) -> Generator[None]:
    """Turn any exception caused by a damaged or crafted file into one error that names the file.

    Parsers and loaders expect intact files: on others they raise nearly anything.

    Args:
        path: the file or folder.
        expected: what it should be.

    Raises:
        CheckpointError: replaces every exception except this project's own and GPU memory errors.
    """
    try:
        yield
    except (SvdAudioError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        raise CheckpointError(
            f"the checkpoint {path} cannot be read", expected=expected, got=reason[:MAX_REASON]
        ) from error


class Shell:
    """Replaces an object whose class is not imported: it has attributes, but no behaviour."""

    named: str = ""
    """Module and name of the class or function in the pickle."""

    def __new__(cls, *given: Any, **also: Any) -> Self:
        """Accept and discard any constructor arguments."""
        del given, also
        return super().__new__(cls)

    def __init__(self, *given: Any, **also: Any) -> None:
        del given, also

    def __setstate__(self, state: object) -> None:
        """Store attributes; a state that is not a mapping is stored whole."""
        if isinstance(state, Mapping):
            self.__dict__.update({str(key): value for key, value in cast("Mapping[Any, Any]", state).items()})
        else:
            self.__dict__["state"] = state

    def __setitem__(self, key: object, value: object) -> None:
        """Discard: items of dicts and lists are not needed."""

    def append(self, value: object) -> None:
        """As `__setitem__`."""

    def extend(self, values: Iterable[object]) -> None:
        """As `__setitem__`."""


def shell_state(module: Shell) -> dict[str, Tensor]:
    """The state dict of a pickled torch module whose classes were never imported.

    Raises:
        UnpicklingError: the module contains itself.
    """
    state: dict[str, Tensor] = {}
    for prefix, attributes in _modules(module, lambda attributes: _entries(attributes, "_modules")):
        unsaved = attributes.get("_non_persistent_buffers_set")
        excluded: set[Any] = cast("set[Any]", unsaved) if isinstance(unsaved, set) else set()
        for kind in ("_parameters", "_buffers"):
            for name, value in _entries(attributes, kind).items():
                if isinstance(value, Tensor) and not (kind == "_buffers" and name in excluded):
                    state[f"{prefix}{name}"] = value.detach()
    return state


def _attributes_state(module: Shell) -> dict[str, Tensor]:
    """The state dict of a TorchScript module: its tensors and submodules are plain attributes."""
    return {
        f"{prefix}{name}": value.detach()
        for prefix, attributes in _modules(module, lambda attributes: attributes)
        for name, value in attributes.items()
        if isinstance(value, Tensor)
    }


def _modules(
    module: Shell, children: Callable[[Mapping[str, Any]], Mapping[str, Any]], prefix: str = ""
) -> Generator[tuple[str, Mapping[str, Any]]]:
    """Prefix and attributes of a module and all of its submodules."""
    waiting: list[tuple[str, int, Shell]] = [(prefix, 0, module)]
    for _ in range(MAX_ENTRIES):
        if not waiting:
            return
        place, depth, shell = waiting.pop()
        if depth > MAX_DEPTH:
            break
        attributes = vars(shell)
        yield place, attributes
        below = [(f"{place}{name}.", depth + 1, child) for name, child in children(attributes).items()
                 if isinstance(child, Shell)]  # fmt: skip
        waiting += reversed(below)
    raise pickle.UnpicklingError("its modules contain one another, or are too many")


def _entries(attributes: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found: object = attributes.get(name)
    return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}


class StorageType(NamedTuple):
    """Replaces torch's storage classes; a pickle cannot change it."""

    dtype: torch.dtype


_STORAGES: Mapping[str, torch.dtype] = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
    "Bool": torch.bool, "ComplexDouble": torch.complex128, "ComplexFloat": torch.complex64, "Untyped": torch.uint8,
}  # fmt: skip

_rebuilding: Any = import_module("torch._utils")

_HARMLESS: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
    **{
        ("torch._utils", name): getattr(_rebuilding, name)
        for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")
    },
    **{("torch", f"{name}Storage"): StorageType(dtype) for name, dtype in _STORAGES.items()},
    **{
        ("torch", name): getattr(torch, name)
        for name in ("float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool")
    },
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
}
"""The only names that `read_inert` resolves."""


# The Python implementation: the C one fills the memory when a pickle names a high memo index.
_Unpickler: Any = vars(pickle)["_Unpickler"]


class _InertUnpickler(_Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        known = _HARMLESS.get((module_name, global_name))
        if known is None:
            return type(global_name, (Shell,), {"named": f"{module_name}.{global_name}"})
        return _copy_of(known) if isinstance(known, types.FunctionType) else known


def _inert_unpickler(file: BinaryIO) -> Any:
    return _InertUnpickler(file)


def _copy_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """A separate function for each pickle, because a pickle may set attributes of what it names."""

    def copied(*given: Any) -> Any:
        return function(*given)

    return copied


class WithoutInitialisation(TorchFunctionMode):
    """Build networks with uninitialised memory: their random weights would be overwritten anyway.

    So nothing is drawn from torch's global generator, which belongs to the program that uses this library.

    Some networks run on zeros while they are built, to determine their strides; there only shapes matter.
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
    fix: str = "check that this is the complete published file",
) -> M:
    """A network that uses the given tensors themselves, in float32 and evaluation mode, if every entry fits.

    Random weights are not computed, and tensors that are already float32 in the canonical layout are not copied.

    Args:
        build: builds the network.
        tensors: its state dict. Floating tensors of other types are turned into float32.
        path: source of the tensors, for errors.
        fix: remedy if they do not fit, for errors.

    Raises:
        CheckpointError: an entry is missing, unknown, or of another shape; the first is named.
    """
    with WithoutInitialisation():
        model = build()
    own = model.state_dict()
    for what, keys in (("lacks", own.keys() - tensors.keys()), ("has an unknown", tensors.keys() - own.keys())):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise CheckpointError(f"the checkpoint {path} {what} entry {min(map(str, keys))}{more}", fix=fix)
    fitted: dict[str, Tensor] = {}
    for key, wanted in own.items():
        value = tensors[key]
        if not isinstance(value, Tensor) or value.shape != wanted.shape:
            raise CheckpointError(
                f"the checkpoint {path} has the wrong shape for {key}",
                expected=list(wanted.shape),
                got=list(value.shape) if isinstance(value, Tensor) else type(value).__name__,
                fix=fix,
            )
        if value.is_floating_point() != wanted.is_floating_point() or _is_unusual(value, wanted):
            raise CheckpointError(
                f"the checkpoint {path} has an unsupported tensor for {key}",
                expected=f"a plain tensor of {wanted.dtype}",
                got=f"{value.dtype}, {value.layout}, on {value.device}",
                fix=fix,
            )
        fitted[key] = value.detach().float() if value.is_floating_point() else value.detach()
    fill_network(model, fitted)
    return model.eval()


def _is_unusual(value: Tensor, wanted: Tensor) -> bool:
    """Whether a tensor is not plain numbers in memory: quantized, sparse, complex, or without data."""
    plain = value.layout == torch.strided and value.device == wanted.device
    return not plain or value.is_quantized or value.is_complex()


def names(contents: Mapping[str, Any]) -> str:
    """A few names in a file, for an error."""
    found = sorted(str(name) for name in contents)
    return ", ".join(found[:4]) + (", …" if len(found) > 4 else "") if found else "nothing"


def _mapping(path: Path, contents: object, what: str) -> Mapping[str, Any]:
    if not isinstance(contents, Mapping):
        raise CheckpointError(f"the checkpoint {path} is of the wrong kind", expected=what, got=type(contents).__name__)
    return cast("Mapping[str, Any]", contents)
