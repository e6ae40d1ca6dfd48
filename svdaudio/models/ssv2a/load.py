"""Loads SSV2A strictly, from the published pair of ssv2a.pth and ssv2a.json or from this project's own weight file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from svdaudio.errors import CheckpointError, ConfigError
from svdaudio.models.ssv2a.config import Config
from svdaudio.models.ssv2a.model import SSV2A
from svdaudio.weights.own import load_weights
from svdaudio.weights.reading import fill, names, read_plain

PARTS = ("manifold", "generator", "remixer")


def load(checkpoint: str | Path, config: str | Path | Config, *, device: str | torch.device = "cpu") -> SSV2A:
    """Load the published SSV2A, in evaluation mode and float32.

    Args:
        checkpoint: `ssv2a.pth`, a dict of `timestamp`, `manifold_state`, `generator_state` and `remixer_state`.
            It is read without running any pickled code, and mapped into memory where its format allows.
        config: `ssv2a.json`, or a `Config`.
        device: target device.

    Raises:
        CheckpointError: a file is missing, cannot be read, or is not SSV2A's; a key or a shape does not match.
        ConfigError: `ssv2a.json` lacks a field, or requires what this implementation does not support.
    """
    checkpoint = Path(checkpoint)
    if not isinstance(config, Config):
        config = _read_config(Path(config))
    contents = read_plain(checkpoint)
    state: dict[str, Tensor] = {}
    for part in PARTS:
        entries = contents.get(f"{part}_state")
        if not isinstance(entries, Mapping):
            raise CheckpointError(
                f"{checkpoint} is not an SSV2A checkpoint",
                expected=f"'{part}_state' in it",
                got=names(contents),
                fix="use ssv2a.pth",
            )
        state.update({f"{part}.{key}": value for key, value in cast("Mapping[str, Tensor]", entries).items()})
    return _build(config, state, checkpoint).to(device)


def load_pair(path: str | Path, device: str | torch.device = "cpu", *, digest: str | None = None) -> SSV2A:
    """Load the published SSV2A from `ssv2a.pth` and the `ssv2a.json` next to it, in evaluation mode and float32.

    Args:
        path: `ssv2a.pth`.
        device: target device.
        digest: not needed: torch maps the file itself.

    Raises:
        CheckpointError: as `load`.
        ConfigError: as `load`.
    """
    del digest
    path = Path(path)
    return load(path, path.with_suffix(".json"), device=device)


def load_ssv2a(path: str | Path, device: str | torch.device = "cpu") -> SSV2A:
    """Load an SSV2A from this project's own weight file (role "ssv2a"), in evaluation mode and float32.

    Raises:
        CheckpointError: the file is missing, damaged, of another role, or does not match its header.
    """
    path = Path(path)
    state, header = load_weights(path, role="ssv2a")
    try:
        config = Config.from_dict(header.config)
    except ConfigError as error:
        raise CheckpointError(
            f"the header of the checkpoint {path} is not a valid SSV2A header", got=str(error)
        ) from error
    return _build(config, state, path).to(device)


def _build(config: Config, state: Mapping[str, object], path: Path) -> SSV2A:
    """Build a model that uses the tensors of `state` directly, without copies or random weights."""
    fix = "check that configuration and checkpoint belong together"
    return fill(lambda: SSV2A(config), state, path, fix=fix).requires_grad_(requires_grad=True)


def _read_config(path: Path) -> Config:
    if not path.is_file():
        raise CheckpointError(f"file not found: {path}", fix="put ssv2a.json next to ssv2a.pth")
    try:
        document: object = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CheckpointError(f"the configuration {path} cannot be read", expected="JSON", got=str(error)) from error
    if not isinstance(document, Mapping):
        raise CheckpointError(
            f"{path} is not an SSV2A configuration", expected="a JSON object", got=type(document).__name__
        )
    return Config.from_published(cast("Mapping[str, Any]", document))
