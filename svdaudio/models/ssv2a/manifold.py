"""The manifold: a common space for CLIP and CLAP embeddings."""

from __future__ import annotations

import math

import torch
from torch import nn

from svdaudio.models.ssv2a.config import Config
from svdaudio.models.ssv2a.layers import VariationalMLP


class Manifold(nn.Module):
    """Two encoders of one shape, and the temperatures (logs) of the contrastive losses that train them."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        widths, dropout = config.manifold.layers, config.manifold.dropout
        # CLIP's own starting temperature; only training reads them.
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.self_logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.clip_encoder = VariationalMLP(config.clip_dim, config.manifold_dim, widths, dropout=dropout, bias=False)
        self.clap_encoder = VariationalMLP(config.clap_dim, config.manifold_dim, widths, dropout=dropout, bias=False)
