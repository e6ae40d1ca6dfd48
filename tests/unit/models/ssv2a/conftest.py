"""A small SSV2A."""

from __future__ import annotations

import pytest
import torch
from made_up import made_up_ssv2a

from svdaudio.models.ssv2a import SSV2A, Config, MLPConfig, RemixerConfig, StylerConfig

SMALL = Config(
    clip_dim=12,
    clap_dim=8,
    manifold_dim=10,
    manifold=MLPConfig(layers=(16, 16, 24, 24)),
    generator=MLPConfig(layers=(16, 12, 20)),
    remixer=RemixerConfig(slot=5, styler=StylerConfig(embed_dim=16, nhead=4)),
)


@pytest.fixture
def model() -> SSV2A:
    return made_up_ssv2a(SMALL)


@pytest.fixture
def clips() -> torch.Tensor:
    """Three pictures with two objects each; the other two slots are empty."""
    drawn = torch.randn(3, 5, 12, generator=torch.Generator().manual_seed(0))
    drawn[:, 3:] = 0
    return torch.nn.functional.normalize(drawn, dim=-1)
