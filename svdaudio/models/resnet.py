"""ResNet-18 (He et al. 2016) of any width, with the entry names that torchvision and timm share.

torchvision's class has fixed widths; this one is built from its blocks, so it also covers narrow networks.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, conv1x1

WIDTHS = (64, 128, 256, 512)
"""Channels of the four layers of the published network; the stem is as wide as the first layer."""


class ResNet18(nn.Module):
    """Four layers of two blocks each, then the mean over the picture.

    Args:
        widths: channels of the four layers, `WIDTHS` for the published network. The stem is as wide as the first.
        n_dims: output size of a last linear layer `fc`; None for the mean features themselves.
    """

    def __init__(self, *, widths: Sequence[int] = WIDTHS, n_dims: int | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _layer(widths[0], widths[0], stride=1)
        self.layer2 = _layer(widths[0], widths[1], stride=2)
        self.layer3 = _layer(widths[1], widths[2], stride=2)
        self.layer4 = _layer(widths[2], widths[3], stride=2)
        self.fc = None if n_dims is None else nn.Linear(widths[3], n_dims)

    def feature_map(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channel rows columns"]:
        """Features at each position, one for every 32 x 32 px: 7 x 7 for 224 x 224 px."""
        hidden = self.maxpool(self.relu(self.bn1(self.conv1(pixels))))
        return self.layer4(self.layer3(self.layer2(self.layer1(hidden))))

    def forward(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """The mean over all positions, passed through `fc` if there is one."""
        features = self.feature_map(pixels).mean(dim=(2, 3))
        return features if self.fc is None else self.fc(features)


def initialise(network: nn.Module) -> None:
    """Initialise a network for training from scratch, in place, as torchvision does (He et al. 2015)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _layer(n_in: int, n_out: int, *, stride: int) -> nn.Sequential:
    """Two blocks; the first, with its shortcut, changes resolution and width."""
    shortcut = None
    if stride != 1 or n_in != n_out:
        shortcut = nn.Sequential(conv1x1(n_in, n_out, stride), nn.BatchNorm2d(n_out))
    return nn.Sequential(BasicBlock(n_in, n_out, stride, shortcut), BasicBlock(n_out, n_out))
