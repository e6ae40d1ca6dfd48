"""The remixer: maps the slots' manifold codes and CLIP embeddings to the distribution of one CLAP embedding."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from svdaudio.models.ssv2a.config import Config
from svdaudio.models.ssv2a.layers import MLP


class EfficientSelfAttention(nn.Module):
    """Linear attention (after "Efficient Attention", arXiv 1812.01243): cost grows with the tokens, not their square.

    Queries and keys go through a softmax over the features of each head; the context Σ k ⊗ v over the tokens is
    shared by all queries. The residual path is a Linear on the unnormalised input instead of the identity.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.highway = nn.Linear(width, width)

    def _heads(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch head feature"]:
        return x.unflatten(-1, (self.n_heads, -1))

    def queries(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch head feature"]:
        """The queries of tokens."""
        return self._heads(self.query(self.norm(x))).softmax(-1)

    def keys_values(
        self, x: Float[Tensor, "*batch width"]
    ) -> tuple[Float[Tensor, "*batch head feature"], Float[Tensor, "*batch head feature"]]:
        """The keys and values of tokens."""
        normed = self.norm(x)
        return self._heads(self.key(normed)).softmax(-1), self._heads(self.value(normed))

    def forward(self, x: Float[Tensor, "*batch token width"]) -> Float[Tensor, "*batch token width"]:
        """The tokens after attention."""
        keys, values = self.keys_values(x)
        context = torch.einsum("...thi,...thj->...hij", keys, values)
        return self.highway(x) + torch.einsum("...thi,...hij->...thj", self.queries(x), context).flatten(-2)


class FeedForward(nn.Module):
    """x + Linear(GELU(Linear(LayerNorm(x)))), with the hidden width equal to the outer one."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, width)
        self.linear2 = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Each token, independently."""
        return x + self.linear2(self.dropout(functional.gelu(self.linear1(self.norm(x)))))


class TransformerLayer(nn.Module):
    """Attention, then the feed-forward."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.esa = EfficientSelfAttention(width, n_heads)
        self.ffn = FeedForward(width, dropout)

    def forward(self, x: Float[Tensor, "*batch token width"]) -> Float[Tensor, "*batch token width"]:
        """The tokens after the layer."""
        return self.ffn(self.esa(x))


class StyleEncoder(nn.Module):
    """The transformer, of one layer (`StylerConfig` allows no other), under its name in checkpoints."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([TransformerLayer(width, n_heads, dropout)])

    @property
    def layer(self) -> TransformerLayer:
        """The one layer."""
        return cast("TransformerLayer", self.encoder[0])

    def forward(self, x: Float[Tensor, "*batch token width"]) -> Float[Tensor, "*batch token width"]:
        """The tokens after the transformer."""
        return self.layer(x)


class Styler(nn.Module):
    """Two learned prediction tokens read the slots; one predicts the mean, the other the log variance."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        styler = config.remixer.styler
        width, dropout = styler.embed_dim, styler.dropout
        self.pred_token = nn.Parameter(torch.randn(2, width))
        self.in_proj = nn.Linear(config.manifold_dim + config.clip_dim, width)
        self.style_encoder = StyleEncoder(width, styler.nhead, dropout)
        self.head_mu = MLP((width, width), dropout)
        self.head_sigma = MLP((width, width), dropout)
        self.out_mu = nn.Linear(width, config.clap_dim)
        self.out_sigma = nn.Linear(width, config.clap_dim)

    def forward(
        self, codes: Float[Tensor, "*batch slot manifold"], clips: Float[Tensor, "*batch slot clip"]
    ) -> tuple[Float[Tensor, "*batch clap"], Float[Tensor, "*batch clap"]]:
        """μ and log σ² of one CLAP embedding from all slots; their order does not matter."""
        slots = self.in_proj(torch.cat([codes, clips], dim=-1))
        tokens = torch.cat([self.pred_token.expand(*slots.shape[:-2], -1, -1), slots], dim=-2)
        return self.read(self.style_encoder(tokens)[..., :2, :])

    def read(
        self, predicted: Float[Tensor, "*batch 2 width"]
    ) -> tuple[Float[Tensor, "*batch clap"], Float[Tensor, "*batch clap"]]:
        """Mean and log variance from the two prediction tokens after the transformer."""
        return self.out_mu(self.head_mu(predicted[..., 0, :])), self.out_sigma(self.head_sigma(predicted[..., 1, :]))


class Remixer(nn.Module):
    """The styler, under its name in checkpoints."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.styler = Styler(config)
