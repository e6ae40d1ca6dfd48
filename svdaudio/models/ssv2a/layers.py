"""The residual MLP and the variational network that SSV2A's encoders and generator are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn


class ResidualBlock(nn.Module):
    """`proj(x) + mod(x)`: a linear shortcut in parallel with two normalised linear layers.

    Args:
        n_in, n_hidden, n_out: the three widths.
        dropout: the fraction dropped after each normalisation.
    """

    def __init__(self, n_in: int, n_hidden: int, n_out: int, dropout: float) -> None:
        super().__init__()
        self.proj = nn.Linear(n_in, n_out)
        self.mod = nn.Sequential(
            nn.Linear(n_in, n_hidden), nn.LayerNorm(n_hidden), nn.Dropout(dropout), nn.GELU(),
            nn.Linear(n_hidden, n_out), nn.LayerNorm(n_out), nn.Dropout(dropout),
        )  # fmt: skip

    def forward(self, x: Float[Tensor, "*batch n_in"]) -> Float[Tensor, "*batch n_out"]:
        """The block's output."""
        return self.proj(x) + self.mod(x)


class MLP(nn.Module):
    """Residual blocks over overlapping triples of widths, (0, 1, 2), (2, 3, 4), …, a GELU after each.

    A width left over at the end becomes Linear, LayerNorm, Dropout, GELU.
    """

    def __init__(self, widths: Sequence[int], dropout: float) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        at = 0
        while at + 2 < len(widths):
            parts += [ResidualBlock(widths[at], widths[at + 1], widths[at + 2], dropout), nn.GELU()]
            at += 2
        if at + 1 < len(widths):
            n_in, n_out = widths[at : at + 2]
            parts += [nn.Linear(n_in, n_out), nn.LayerNorm(n_out), nn.Dropout(dropout), nn.GELU()]
        self.model = nn.Sequential(*parts)

    def forward(self, x: Float[Tensor, "*batch first"]) -> Float[Tensor, "*batch last"]:
        """Features of the last width."""
        return self.model(x)


class VariationalMLP(nn.Module):
    """A Linear into the first width, the MLP, and two heads: the mean and log variance of a diagonal Gaussian."""

    def __init__(self, n_in: int, n_out: int, widths: Sequence[int], *, dropout: float, bias: bool) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Linear(n_in, widths[0], bias=bias), MLP(widths, dropout))
        self.out_mu = nn.Linear(widths[-1], n_out)
        self.out_sigma = nn.Linear(widths[-1], n_out)

    def forward(
        self, x: Float[Tensor, "*batch n_in"]
    ) -> tuple[Float[Tensor, "*batch n_out"], Float[Tensor, "*batch n_out"]]:
        """μ and log σ² of each row."""
        hidden = self.model(x)
        return self.out_mu(hidden), self.out_sigma(hidden)


def spread(log_sigma: Float[Tensor, "*shape"], *, var_samples: int) -> Float[Tensor, "*shape"]:
    """The standard deviation of the mean of `var_samples` draws: exp(log_sigma / 2) / √var_samples.

    `log_sigma` is, as in SSV2A's checkpoints, the log of the *variance* of one draw.
    """
    return torch.exp(0.5 * log_sigma) / math.sqrt(var_samples)


def normal(shape: Sequence[int], *, like: Tensor, generator: Generator) -> Tensor:
    """Standard normal numbers, drawn on the generator's device, then moved to the device of `like`.

    With a generator on the CPU every device sees the same numbers.
    """
    return torch.randn(tuple(shape), generator=generator, device=generator.device, dtype=like.dtype).to(like.device)


def mean_of_draws(
    mu: Float[Tensor, "*shape"], log_sigma: Float[Tensor, "*shape"], *, var_samples: int, generator: Generator
) -> Float[Tensor, "*shape"]:
    """The mean of `var_samples` draws of N(μ, σ²), which is one draw of N(μ, σ² / var_samples)."""
    return torch.addcmul(mu, spread(log_sigma, var_samples=var_samples), normal(mu.shape, like=mu, generator=generator))
