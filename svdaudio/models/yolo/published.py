"""YOLOv8 as published by ultralytics: a pickled network, from which only tensors and names are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch

from svdaudio.errors import CheckpointError
from svdaudio.models.yolo.detector import ROLE, Detector, build_detector
from svdaudio.weights.quick_copy import Weights, cached
from svdaudio.weights.reading import Shell, fill, names, read_inert, shell_state, unreadable

SCALES: Mapping[int, str] = {16: "n", 32: "s", 48: "m", 64: "l", 80: "x"}
"""Channels of the first convolution → letter of the size."""
IMAGE_SIZE_PX = 640
"""Input size at which every published YOLOv8 detector was trained."""


def load_detector(path: Path, device: str | torch.device = "cpu", *, digest: str | None = None) -> Detector:
    """Load a detector from a published YOLOv8.

    Args:
        path: the published file.
        device: target device.
        digest: sha256 of the file, if it has been checked; then a quick copy is kept next to it.

    Raises:
        CheckpointError: the file is missing or damaged, is not a YOLOv8 detector, lacks an entry or has an extra one.
    """
    weights = cached(path, name=ROLE, digest=digest, read=lambda: read_detector(path))
    facts = weights.facts
    model = fill(lambda: build_detector(facts["config"]), weights.tensors, path)
    return Detector(
        model.requires_grad_(False).to(device), image_size_px=facts["image_size_px"], names=tuple(facts["names"])
    )


def read_detector(path: Path) -> Weights:
    """Read the state dict in float32, with the class names, the network's size and its input size.

    Raises:
        CheckpointError: as `load_detector`.
    """
    contents = read_inert(path)
    with unreadable(path, "an ultralytics detector"):
        return _detector(path, contents)


def _detector(path: Path, contents: Mapping[str, Any]) -> Weights:
    # Like ultralytics, use the averaged weights if present.
    network = contents.get("ema") or contents.get("model")
    if not isinstance(network, Shell) or not network.named.endswith(".DetectionModel"):
        raise CheckpointError(
            f"the checkpoint {path} is not an ultralytics detector",
            expected="a DetectionModel",
            got=network.named if isinstance(network, Shell) else names(contents),
        )
    state = shell_state(network)
    first = state.get("model.0.conv.weight")
    scale = SCALES.get(first.shape[0]) if first is not None else None
    if scale is None:
        raise CheckpointError(
            f"the checkpoint {path} is not a YOLOv8",
            expected=f"model.0.conv.weight with {', '.join(map(str, SCALES))} channels",
            got="none" if first is None else list(first.shape),
        )
    classes = _classes(path, vars(network).get("names"))
    settings = contents.get("train_args")
    size = cast("Mapping[str, Any]", settings).get("imgsz") if isinstance(settings, Mapping) else None
    return Weights(
        tensors={key: value.float() if value.is_floating_point() else value for key, value in state.items()},
        facts={
            "config": {"scale": scale, "n_classes": len(classes)},
            "names": classes,
            "image_size_px": size if isinstance(size, int) else IMAGE_SIZE_PX,
        },
    )


def _classes(path: Path, found: object) -> list[str]:
    if isinstance(found, Mapping):
        table = cast("Mapping[Any, Any]", found)
        if sorted(table) == list(range(len(table))):
            return [str(table[index]) for index in range(len(table))]
    if isinstance(found, list):
        return [str(name) for name in cast("list[Any]", found)]
    raise CheckpointError(f"the checkpoint {path} does not name its classes", expected="'names' in the network")
