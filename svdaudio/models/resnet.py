"""ResNet-18 (He et al. 2016) of any width, with the entry names that torchvision and timm share.

torchvision's class fixes the widths; its blocks do not, so that a narrow network and the published one are one class.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, conv1x1

WIDTHS = (64, 128, 256, 512)
"""Channels of the four layers of the published network; its stem has the first."""


class ResNet18(nn.Module):
    """Two blocks in each of four layers, then the mean over the picture.

    Args:
        widths: channels of the four layers, `WIDTHS` for the published network. The stem has the first of them.
        n_dims: numbers that a last linear layer `fc` gives; None for the mean features themselves.
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

    def places(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channel rows columns"]:
        """Features of each place: a side of 32 px becomes one, so that 224 x 224 px give 7 x 7."""
        hidden = self.maxpool(self.relu(self.bn1(self.conv1(pixels))))
        return self.layer4(self.layer3(self.layer2(self.layer1(hidden))))

    def forward(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """The mean over all places, through `fc` if there is one."""
        features = self.places(pixels).mean(dim=(2, 3))
        return features if self.fc is None else self.fc(features)


def initialise(network: nn.Module) -> None:
    """Initialise a network to train from nothing, in place, as torchvision does (He et al. 2015)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _layer(n_in: int, n_out: int, *, stride: int) -> nn.Sequential:
    """Two blocks; the first changes resolution and width, and so does its shortcut."""
    shortcut = None
    if stride != 1 or n_in != n_out:
        shortcut = nn.Sequential(conv1x1(n_in, n_out, stride), nn.BatchNorm2d(n_out))
    return nn.Sequential(BasicBlock(n_in, n_out, stride, shortcut), BasicBlock(n_out, n_out))
