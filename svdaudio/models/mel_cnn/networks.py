"""The small audio networks of the mini bundle: an embedding network (for CLAP) and a tagger."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class _Block(nn.Sequential):
    """A strided convolution that halves time and frequency, then a second one; batch norm and GELU after each."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(
            nn.Conv2d(n_in, n_out, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.GELU(),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.GELU(),
        )


def _standardised(log_mel: Tensor) -> Tensor:
    """Log-mel (about -11.5..2) scaled to about -1..1, as a one-channel image."""
    return (log_mel.unsqueeze(1) + 5.0) / 5.0


class AudioEmbedder(nn.Module):
    """Maps log-mel to a unit vector in CLAP space; also holds the vectors of the class names.

    Args:
        n_dims: size of the space, 512.
        widths: channels of the convolution blocks.
        n_classes: rows of the table of class vectors; row `n_classes` is the empty text.
    """

    text: Tensor

    def __init__(self, *, n_dims: int, widths: list[int], n_classes: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(_Block(a, b) for a, b in zip([1, *widths], widths, strict=False)))
        self.head = nn.Sequential(nn.Linear(2 * widths[-1], 256), nn.GELU(), nn.Linear(256, n_dims))
        table = torch.linalg.qr(torch.randn(n_dims, n_classes + 1, generator=torch.Generator().manual_seed(0)))[0].T
        self.register_buffer("text", table.contiguous())

    def forward(self, log_mel: Float[Tensor, "batch frame 64"]) -> Float[Tensor, "batch dim"]:
        """Unit vectors."""
        features = self.blocks(_standardised(log_mel)).mean(dim=3)
        pooled = torch.cat([features.mean(dim=2), features.amax(dim=2)], dim=1)
        return functional.normalize(self.head(pooled), dim=1)


class TaggerNetwork(nn.Module):
    """Maps log-mel to one logit per class: framewise evidence, pooled by a softmax-weighted mean over time."""

    def __init__(self, *, widths: list[int], n_classes: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(_Block(a, b) for a, b in zip([1, *widths], widths, strict=False)))
        self.mix = nn.Sequential(nn.Conv1d(2 * widths[-1], 128, 3, padding=1), nn.GELU(), nn.Dropout(0.2))
        self.evidence = nn.Conv1d(128, n_classes, 1)
        self.attention = nn.Conv1d(128, n_classes, 1)

    def features(self, log_mel: Float[Tensor, "batch frame 64"]) -> Float[Tensor, "batch 128 shorter"]:
        """Features over time that evidence and attention are computed from."""
        features = self.blocks(_standardised(log_mel))
        return self.mix(torch.cat([features.mean(dim=3), features.amax(dim=3)], dim=1))

    def pool(self, features: Float[Tensor, "batch 128 shorter"]) -> Float[Tensor, "batch class"]:
        """Logits of features, before the sigmoid."""
        return (self.evidence(features) * self.attention(features).softmax(dim=2)).sum(dim=2)

    def forward(self, log_mel: Float[Tensor, "batch frame 64"]) -> Float[Tensor, "batch class"]:
        """Logits, before the sigmoid."""
        return self.pool(self.features(log_mel))
