"""CIAP's image encoder as published (format `ciap-resnet18`): a state dict saved by torch.

Its backbone is torchvision's ResNet-18 as a numbered list of parts without the last layer: `backbone.0` is `conv1`,
`backbone.1` is `bn1`, `backbone.4` to `backbone.7` are the layers. The projection is `proj` and the layer norm `ln`. In
an older form the projection is named `fc`, and the layer norm is missing; the published programs then skip the trained
projection and use a random one. Here both forms are read completely: a file with a missing or an extra entry is
rejected.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from svdaudio.models.ciap.encoder import ROLE, CiapImageEncoder, CiapNetwork
from svdaudio.weights.quick_copy import Weights, cached
from svdaudio.weights.reading import fill, read_plain, require_file

FORMAT = "ciap-resnet18"
PARTS: Mapping[str, str] = {
    "0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4",
}  # fmt: skip
"""Number of a backbone part → its name in torchvision."""

log = logging.getLogger(__name__)


def load_image_encoder(
    path: Path, device: str | torch.device = "cpu", *, digest: str | None = None
) -> CiapImageEncoder:
    """Load CIAP's image encoder from a published file.

    Args:
        path: a state dict, or a checkpoint that contains one.
        device: target device.
        digest: sha256 of the file, if it has been checked; then a quick copy is kept next to it.

    Raises:
        CheckpointError: the file is missing or damaged, or lacks an entry or has an extra one.
    """
    weights = cached(path, name=ROLE, digest=digest, read=lambda: read_weights(path))
    network = fill(lambda: CiapNetwork(**weights.facts), weights.tensors, path)
    return CiapImageEncoder(network.eval().requires_grad_(False).to(device))


def read_weights(path: Path) -> Weights:
    """Read the entries of a file, under this project's names.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    require_file(path)
    state = _state(read_plain(path))
    older = "fc.weight" in state and "proj.weight" not in state
    if older:
        log.warning("%s is in CIAP's older form, whose projection is named fc and has no layer norm", path)
    tensors = {_name(key, older=older): value.detach() for key, value in state.items()}
    return Weights(tensors=tensors, facts={"layer_norm": not older})


def _state(contents: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state dict of a file: the file itself, or its entry `model_state_dict` or `state_dict`."""
    for entry in ("model_state_dict", "state_dict"):
        nested = contents.get(entry)
        if isinstance(nested, Mapping):
            contents = cast("Mapping[str, Any]", nested)
    return {str(key).removeprefix("module."): value for key, value in contents.items() if isinstance(value, Tensor)}


def _name(key: str, *, older: bool) -> str:
    if older and key.startswith("fc."):
        return f"proj.{key.removeprefix('fc.')}"
    head, _, rest = key.partition(".")
    number, _, rest = rest.partition(".")
    return f"backbone.{PARTS[number]}.{rest}" if head == "backbone" and number in PARTS else key
