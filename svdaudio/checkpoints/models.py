"""The models of a bundle, loaded on first use."""

from __future__ import annotations

import gc
import pickle
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svdaudio.checkpoints.bundle import Bundle, Entry, load_entry
from svdaudio.errors import CheckpointError, ConfigError
from svdaudio.weights.digests import FileState, file_state

if TYPE_CHECKING:
    import torch

    from svdaudio.config import RunConfig

_LOADING = threading.RLock()
"""Held while a model is loaded: torch.jit, which scripts some of them, and warning filters are process-wide."""


class Models:
    """The models of a bundle by role, loaded on first use.

    One model is resident at a time, or those that one stage uses (`keep_only`), so that peak memory is that of the
    largest; `keep` keeps all of them, and `compile_noise` lets torch compile the noise network.
    A file is checked against its digest before it is loaded, so that a key never refers to other weights.

    Several threads may share one object: one loads at a time, in the whole process, and every model can be called from
    several threads at once. The threads share the set of resident models, so threads that alternate between roles
    should use `keep`.
    """

    def __init__(
        self, bundle: Bundle, *, device: str = "auto", keep: bool = False, compile_noise: bool = False
    ) -> None:
        self.bundle = bundle
        self._device_name = device
        self._keep = keep
        self._compile_noise = compile_noise
        self._together: frozenset[str] = frozenset()
        self._resident: dict[str, Any] = {}

    @staticmethod
    def of(bundle: Bundle, config: RunConfig) -> Models:
        """The models of a bundle, kept and run as a configuration specifies."""
        execution = config.execution
        return Models(bundle, device=execution.device, keep=execution.keep_models, compile_noise=execution.compile)

    def __reduce__(self) -> tuple[Callable[..., Models], tuple[bytes, str, bool, bool]]:
        """Let another process open its own models once, and keep them between stages."""
        return _models_of_this_process, (pickle.dumps(self.bundle), self._device_name, self._keep, self._compile_noise)

    @cached_property
    def device(self) -> torch.device:
        """The device on which models run.

        Raises:
            ConfigError: this machine does not have the device.
        """
        return find_device(self._device_name)

    def __getitem__(self, role: str) -> Any:
        """The model of a role.

        Raises:
            CheckpointError: it is missing, damaged, or differs from the bundle's description.
        """
        with _LOADING:
            if role not in self._resident:
                self._release(of_all_but=self._together if role in self._together else frozenset())
                model = self._load(role)
                if role == "diffuser" and self._compile_noise:
                    model.compile_noise()
                self._resident[role] = model
            return self._resident[role]

    def _load(self, role: str) -> Any:
        """Load a model, checking before and after that its files match the description."""
        entry = self.bundle.entry(role)
        before = _states(entry)
        self.bundle.check(role)
        model = load_entry(entry, self.device)
        if not all(state.same_contents(before.get(path)) for path, state in _states(entry).items()):
            raise CheckpointError(
                f"the {role} {entry.path} changed while it was loaded",
                fix="wait until it is complete, and run the same command again",
            )
        return model

    def keep_all(self) -> None:
        """From now on keep every model once it is loaded."""
        self._keep = True

    def keep_only(self, roles: Iterable[str]) -> None:
        """From now on keep these models together once they are loaded, and release all others.

        For a stage that uses two models and runs many times: keeping one at a time would reload both every time.
        """
        with _LOADING:
            self._together = frozenset(roles)
            self._release(of_all_but=self._together)

    def _release(self, *, of_all_but: frozenset[str]) -> None:
        leaving = [] if self._keep else [role for role in self._resident if role not in of_all_but]
        traces = [trace for role in leaving for trace in _traces(self._resident[role])]
        for role in leaving:
            del self._resident[role]
        if any(trace() is not None for trace in traces):  # a collection visits all objects of all imported libraries
            gc.collect()


def _traces(model: Any) -> list[weakref.ref[Any]]:
    """Weak references to a model and its weights, which show whether it was freed or is part of a reference cycle."""
    return [weakref.ref(model), *(weakref.ref(weight) for weight in _weights(model, depth=2))]


def _weights(part: Any, *, depth: int) -> Iterator[torch.Tensor]:
    """The weights of all networks that an object holds, directly or through up to `depth` levels of attributes."""
    import torch

    if isinstance(part, torch.nn.Module):
        yield from part.parameters()
        yield from part.buffers()
    elif depth:
        for value in list(getattr(part, "__dict__", {}).values()):
            yield from _weights(value, depth=depth - 1)


def _states(entry: Entry) -> dict[Path, FileState]:
    """The states of those files of a role that exist."""
    return {part.path: file_state(part.path) for part in entry.parts if part.path.is_file()}


def find_device(name: str) -> torch.device:
    """The device with a name: "cpu", "cuda", "cuda:N", or "auto", which is a GPU if one is available.

    Raises:
        ConfigError: this machine does not have the device.
    """
    import torch

    found = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if name == "auto":
        return torch.device("cuda" if len(found) > 1 else "cpu")
    if name not in found and not (name == "cuda" and len(found) > 1):
        raise ConfigError("unknown device", expected=" or ".join(found), got=name, fix="choose one of those")
    return torch.device(name)


@lru_cache(maxsize=1)
def _models_of_this_process(bundle: bytes, device: str, keep: bool, compile_noise: bool) -> Models:
    here = pickle.loads(bundle).here()  # noqa: S301 - our own, sent by the flow
    return Models(here, device=device, keep=keep, compile_noise=compile_noise)
