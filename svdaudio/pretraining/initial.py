"""Initial weights of a training: random, from a published ResNet-18, or from an earlier training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from svdaudio.errors import CheckpointError, ConfigError
from svdaudio.models.resnet import ResNet18, initialise
from svdaudio.weights.own import HEADER_KEY, load_weights
from svdaudio.weights.reading import read_plain, require_file, unreadable

RANDOM = "random"
_HEAD = "fc."


def set_initial_weights(
    network: nn.Module, backbone: ResNet18, init: str, *, role: str, config: Mapping[str, Any], seed: int
) -> None:
    """Set a network's initial weights in place.

    Args:
        network: to initialise.
        backbone: its ResNet-18; a published file fills this part only, except for a last linear layer.
        init: "random", or the path of a file: torchvision's or timm's state dict of a ResNet-18, or a weight file of
            this project.
        role: of the network.
        config: the arguments that built it.
        seed: of random weights.

    Raises:
        CheckpointError: the file is missing or damaged, or not a ResNet-18.
        ConfigError: the sizes of the file's network differ from the settings.
    """
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.reset_parameters()
    initialise(backbone)
    if init == RANDOM:
        return
    path = Path(init).expanduser()
    require_file(path, fix="check the path in `init`")
    if _is_own(path):
        state, header = load_weights(path, role=role)
        if {**config, **header.config} != dict(config):
            raise ConfigError(
                f"the network in {path} differs from the settings", expected=dict(config), got=header.config,
                fix="set network.* to the file's",
            )  # fmt: skip
        with unreadable(path, "tensors that match its description"):
            network.load_state_dict(state)
        return
    state = {name: value for name, value in _published(path).items() if not name.startswith(_HEAD)}
    own = {name: value for name, value in backbone.state_dict().items() if not name.startswith(_HEAD)}
    for what, names in (("lacks", own.keys() - state.keys()), ("has an unknown", state.keys() - own.keys())):
        if names:
            raise CheckpointError(f"{path} is not a ResNet-18: it {what} entry {min(names)}", fix="choose another init")
    for name, value in own.items():
        if state[name].shape != value.shape:
            raise ConfigError(
                f"the widths in {path} differ from network.widths",
                expected=f"{name} of {list(value.shape)}",
                got=list(state[name].shape),
                fix="use --set network.widths=[64,128,256,512]",
            )
    backbone.load_state_dict(
        {name: state[name].float() if state[name].is_floating_point() else state[name] for name in own}, strict=False
    )


def _is_own(path: Path) -> bool:
    """Whether a file is a weight file of this project."""
    try:
        with safe_open(path, framework="pt") as file:
            return HEADER_KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def _published(path: Path) -> Mapping[str, Tensor]:
    """Read the state dict in a file.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError):
        contents = read_plain(path, what="a state dict of a ResNet-18")
    nested = contents.get("state_dict")
    state = cast("Mapping[str, Any]", nested) if isinstance(nested, Mapping) else contents
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}
