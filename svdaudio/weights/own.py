"""Weight files of this project's own models: safetensors that include their architecture.

The header (safetensors metadata, key `svdaudio`) is one JSON object: `role`, `architecture`, `config` (the
keyword arguments that build the network), `recipe` and `recipe_version` (what trained it), and free `extra`
values (class names, constants). Tensors are stored in half precision and loaded as float32.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from svdaudio.errors import CheckpointError
from svdaudio.files import write_bytes
from svdaudio.memory_layout import canonical, fill_network
from svdaudio.places import restore_advice
from svdaudio.weights.reading import WithoutInitialisation, require_file, unreadable

HEADER_KEY = "svdaudio"

M = TypeVar("M", bound=torch.nn.Module)


@dataclass(frozen=True, kw_only=True)
class Header:
    """The description in a weight file."""

    role: str
    architecture: str
    config: dict[str, Any]
    recipe: str
    recipe_version: int
    extra: dict[str, Any] = field(default_factory=dict[str, Any])


def save_weights(path: Path, state: Mapping[str, Tensor], header: Header) -> None:
    """Write `state` (floating tensors as float16) with `header`, atomically.

    Raises:
        StoreError: the file cannot be written.
    """
    tensors = {
        name: tensor.detach().cpu().to(torch.float16 if tensor.is_floating_point() else tensor.dtype).contiguous()
        for name, tensor in state.items()
    }
    data = save(tensors, metadata={HEADER_KEY: json.dumps(asdict(header), sort_keys=True)})
    write_bytes(path, data, through_link=False)  # safetensors' own `save_file` would make it unreadable for other users


def load_weights(path: Path, *, role: str) -> tuple[dict[str, Tensor], Header]:
    """Read a weight file: its tensors (float16 turned into float32) and its header.

    Raises:
        CheckpointError: the file is missing, not a safetensors file, lacks this project's header, or has another role.
    """
    require_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a Mapping
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"the checkpoint {path} cannot be read",
            expected="a safetensors file",
            got=str(error),
            fix=f"{restore_advice()}, or retrain it",
        ) from error
    if HEADER_KEY not in metadata:
        raise CheckpointError(
            f"the checkpoint {path} has no description", expected=f"metadata '{HEADER_KEY}'", got="none"
        )
    with unreadable(path, "a description of this project's own"):
        header = Header(**json.loads(metadata[HEADER_KEY]))
        if not isinstance(header.config, dict) or not isinstance(header.extra, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError("config and extra are not JSON objects")
    if header.role != role:
        raise CheckpointError(f"the checkpoint {path} has another role", expected=role, got=header.role)
    return {name: canonical(t.float() if t.dtype == torch.float16 else t) for name, t in state.items()}, header


def load_module(
    path: Path, *, role: str, build: Callable[[dict[str, Any]], M], device: str | torch.device = "cpu"
) -> tuple[M, Header]:
    """Build the network that a weight file describes, fill it strictly, and put it in eval mode on `device`.

    Raises:
        CheckpointError: see `load_weights`; or the tensors in the file do not match its network.
    """
    state, header = load_weights(path, role=role)
    try:
        with WithoutInitialisation():
            model = build(header.config)
        fill_network(model, state)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"the checkpoint {path} does not match its own description",
            got=str(error).strip().splitlines()[-1][:200],
            fix=f"{restore_advice()}, or retrain it",
        ) from error
    return model.eval().requires_grad_(False).to(device), header
