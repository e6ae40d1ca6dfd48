"""Loading SSV2A, strictly: the published pair of ssv2a.pth and ssv2a.json, or this project's own weight file."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from svdaudio.errors import CheckpointError, ConfigError
from svdaudio.ssv2a.config import Config
from svdaudio.ssv2a.model import SSV2A
from svdaudio.weights import load_weights

PARTS = ("manifold", "generator", "remixer")


def load(checkpoint: str | Path, config: str | Path | Config, *, device: str | torch.device = "cpu") -> SSV2A:
    """The published SSV2A, in evaluation mode and float32.

    Args:
        checkpoint: `ssv2a.pth`, a dict of `timestamp`, `manifold_state`, `generator_state` and `remixer_state`.
            It is read without running any pickled code, and mapped into memory where its format allows.
        config: `ssv2a.json`, or a `Config`.
        device: where the model goes.

    Raises:
        CheckpointError: a file is missing, cannot be read, or is of another kind; a key or a shape does not fit.
        ConfigError: `ssv2a.json` lacks a field, or asks for what this implementation does not have.
    """
    checkpoint = Path(checkpoint)
    if not isinstance(config, Config):
        config = _read_config(Path(config))
    contents = _read_checkpoint(checkpoint)
    state: dict[str, Tensor] = {}
    for part in PARTS:
        entries = contents.get(f"{part}_state")
        if not isinstance(entries, Mapping):
            raise CheckpointError(
                f"the checkpoint {checkpoint} is not SSV2A's",
                expected=f"'{part}_state' in it",
                got=_names(contents),
                fix="give ssv2a.pth",
            )
        state.update({f"{part}.{key}": value for key, value in cast("Mapping[str, Tensor]", entries).items()})
    return _build(config, state, checkpoint).to(device)


def load_ssv2a(path: str | Path, device: str | torch.device = "cpu") -> SSV2A:
    """An SSV2A from this project's own weight file (role "ssv2a"), in evaluation mode and float32.

    Raises:
        CheckpointError: the file is missing, damaged, of another role, or does not hold what its header says.
    """
    path = Path(path)
    state, header = load_weights(path, role="ssv2a")
    try:
        config = Config.from_dict(header.config)
    except ConfigError as error:
        raise CheckpointError(f"the checkpoint {path} has a header that is not SSV2A's", got=str(error)) from error
    return _build(config, state, path).to(device)


def _build(config: Config, state: Mapping[str, object], path: Path) -> SSV2A:
    """A model around the tensors of `state` themselves: no second copy, no time spent on random weights."""
    with torch.device("meta"):
        model = SSV2A(config)
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    for what, keys in (("lacks", expected.keys() - state.keys()), ("has an unknown", state.keys() - expected.keys())):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise CheckpointError(
                f"the checkpoint {path} {what} entry {min(keys)}{more}",
                fix="check that configuration and checkpoint belong together",
            )
    tensors: dict[str, Tensor] = {}
    for key, shape in expected.items():
        value = state[key]
        if not isinstance(value, Tensor) or tuple(value.shape) != shape:
            raise CheckpointError(
                f"the checkpoint {path} has another shape for {key}",
                expected=list(shape),
                got=list(value.shape) if isinstance(value, Tensor) else type(value).__name__,
                fix="check that configuration and checkpoint belong together",
            )
        tensors[key] = value.float()
    model.load_state_dict(tensors, strict=True, assign=True)
    return model.requires_grad_(requires_grad=True).eval()


def _read_checkpoint(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise CheckpointError(
            f"there is no checkpoint {path}", fix="run `svdaudio checkpoints list` to see where weights come from"
        )
    try:
        contents: object = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError, AttributeError) as error:
        reason = str(error).strip().splitlines()
        raise CheckpointError(
            f"the checkpoint {path} cannot be read",
            expected="a PyTorch file of plain tensors",
            got=reason[0] if reason else type(error).__name__,
        ) from error
    if not isinstance(contents, Mapping):
        raise CheckpointError(
            f"the checkpoint {path} is not SSV2A's", expected="a dict of state dicts", got=type(contents).__name__
        )
    return cast("Mapping[str, Any]", contents)


def _read_config(path: Path) -> Config:
    if not path.is_file():
        raise CheckpointError(f"there is no configuration {path}", fix="put ssv2a.json beside ssv2a.pth")
    try:
        document: object = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CheckpointError(f"the configuration {path} cannot be read", expected="JSON", got=str(error)) from error
    if not isinstance(document, Mapping):
        raise CheckpointError(
            f"the configuration {path} is not SSV2A's", expected="a JSON object", got=type(document).__name__
        )
    return Config.from_published(cast("Mapping[str, Any]", document))


def _names(contents: Mapping[str, Any]) -> str:
    names = sorted(str(name) for name in contents)
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "") if names else "nothing"
