"""SSV2A's methods: shapes, gradients for training, random draws for inference."""

from __future__ import annotations

import math

import pytest
import torch

from svdaudio.errors import ConfigError
from svdaudio.models.ssv2a import SSV2A
from svdaudio.models.ssv2a.layers import MLP, mean_of_draws


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_training_sees_every_parameter_but_the_temperatures(model: SSV2A, clips: torch.Tensor) -> None:
    model.requires_grad_(requires_grad=True).train()
    codes, log_sigma = model.encode_clips(clips)
    back = model.encode_claps(torch.ones(3, 8))
    parts = [codes, log_sigma, *back, *model.generate(codes), *model.remix(codes, clips)]
    torch.stack([part.square().mean() for part in parts]).sum().backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == {"manifold.logit_scale", "manifold.self_logit_scale"}


def test_dropout_works_in_training_only(model: SSV2A, clips: torch.Tensor) -> None:
    first, again = (model.encode_clips(clips)[0] for _ in range(2))
    assert torch.equal(first, again)
    model.train()
    first, again = (model.encode_clips(clips)[0] for _ in range(2))
    assert not torch.equal(first, again)


def test_drawing_is_refused_in_training(model: SSV2A, clips: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match="evaluation mode"):
        model.train().fold_clips(clips, generator=seeded())


def test_shapes(model: SSV2A, clips: torch.Tensor) -> None:
    codes = model.fold_clips(clips, generator=seeded())
    assert codes.shape == (3, 5, 10)
    claps = model.fold2claps(codes, generator=seeded())
    assert claps.shape == (3, 5, 8)
    torch.testing.assert_close(claps.norm(dim=-1), torch.ones(3, 5))
    assert model.fold_claps(claps[:, 0], generator=seeded()).shape == (3, 10)
    assert model.remix(codes, clips)[0].shape == (3, 8)


def test_many_draws_average_to_the_mean_and_empty_slots_are_encoded_like_others(
    model: SSV2A, clips: torch.Tensor
) -> None:
    codes = model.fold_clips(clips, var_samples=10**12, generator=seeded())
    torch.testing.assert_close(codes, model.encode_clips(clips)[0], rtol=0, atol=1e-4)


def test_the_mean_of_draws_has_its_spread() -> None:
    mu, log_sigma = torch.full((200_000,), 2.0), torch.full((200_000,), math.log(9.0))
    drawn = mean_of_draws(mu, log_sigma, var_samples=4, generator=seeded())
    assert drawn.mean().item() == pytest.approx(2, abs=0.02)
    assert drawn.std().item() == pytest.approx(1.5, abs=0.02)


def test_draws_do_not_touch_the_global_random_state(model: SSV2A, clips: torch.Tensor) -> None:
    before = torch.get_rng_state()
    first, again = (model.cycle_mix(clips, 3, 4, 2, generator=seeded(5)) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(first, model.cycle_mix(clips, 3, 4, 2, generator=seeded(6)))


@pytest.mark.parametrize("var_samples", [0, -1, 1.5, True])
def test_an_invalid_count_is_refused(model: SSV2A, clips: torch.Tensor, var_samples: int) -> None:
    with pytest.raises(ConfigError, match="var_samples"):
        model.fold_claps(torch.ones(1, 8), var_samples=var_samples, generator=seeded())


@pytest.mark.parametrize(
    ("widths", "kinds"),
    [
        ((4, 6), ["Linear", "LayerNorm", "Dropout", "GELU"]),
        ((4, 6, 8), ["ResidualBlock", "GELU"]),
        ((4, 6, 8, 8), ["ResidualBlock", "GELU", "Linear", "LayerNorm", "Dropout", "GELU"]),
        ((4,), []),
    ],
)
def test_widths_come_in_triples(widths: tuple[int, ...], kinds: list[str]) -> None:
    mlp = MLP(widths, dropout=0)
    assert [type(part).__name__ for part in mlp.model] == kinds
    assert mlp(torch.ones(2, widths[0])).shape == (2, widths[-1])
