"""cycle_mix against the plain loop: the same distribution, whatever the size of computed groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from plain_cycle_mix import plain_cycle_mix
from scipy.stats import ks_2samp
from torch import Tensor

from svdaudio.errors import ConfigError, InputError
from svdaudio.models.ssv2a import SSV2A, cycle
from svdaudio.models.ssv2a.layers import spread

COUNTS = {"its": 6, "samples": 5, "var_samples": 2}
N_RESULTS = 2000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize(("its", "samples", "var_samples"), [(0, 1, 1), (0, 7, 64), (1, 1, 1), (9, 2, 3), (40, 3, 2)])
def test_any_counts(model: SSV2A, clips: Tensor, batch: int, its: int, samples: int, var_samples: int) -> None:
    claps = model.cycle_mix(clips[:batch], its, samples, var_samples, generator=seeded())
    assert claps.shape == (batch, 8)
    torch.testing.assert_close(claps.norm(dim=-1), torch.ones(batch))


@pytest.mark.parametrize("counts", [{"its": -1}, {"samples": 0}, {"var_samples": 0}, {"its": 2.0}, {"samples": True}])
def test_invalid_counts_are_refused(model: SSV2A, clips: Tensor, counts: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(counts))):
        model.cycle_mix(clips, **counts, generator=seeded())


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("shape", [(5, 12), (1, 4, 12), (1, 5, 13)])
def test_other_shapes_are_refused(model: SSV2A, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="wrong shape"):
        model.cycle_mix(torch.ones(shape), generator=seeded())


def test_non_finite_inputs_are_refused(model: SSV2A, clips: Tensor) -> None:
    clips[0, 0, 0] = torch.nan
    with pytest.raises(InputError, match="not finite"):
        model.cycle_mix(clips, generator=seeded())


def test_the_default_is_64_of_each(model: SSV2A, clips: Tensor) -> None:
    first = model.cycle_mix(clips[:1], generator=seeded())
    assert torch.equal(first, model.cycle_mix(clips[:1], its=64, samples=64, var_samples=64, generator=seeded()))


def test_it_works_in_inference_mode_and_leaves_no_gradients(model: SSV2A, clips: Tensor) -> None:
    model.requires_grad_(requires_grad=True)
    first = model.cycle_mix(clips, **COUNTS, generator=seeded())
    assert not first.requires_grad
    with torch.inference_mode():
        assert torch.equal(first, model.cycle_mix(clips, **COUNTS, generator=seeded()))


@pytest.mark.parametrize("look_ahead", [0, 0.5, 4, 1000])
@pytest.mark.parametrize("n_noise", [1, 2_000, 10**9])
def test_the_size_of_computed_groups_does_not_change_results(
    model: SSV2A, clips: Tensor, monkeypatch: pytest.MonkeyPatch, look_ahead: float, n_noise: int
) -> None:
    """Without look-ahead, rounds are computed one after the other, each from the best of the earlier ones."""
    usual = model.cycle_mix(clips, 30, 4, 1, generator=seeded())
    monkeypatch.setattr(cycle, "LOOK_AHEAD", look_ahead)
    monkeypatch.setattr(cycle, "N_NOISE_AT_ONCE", n_noise)
    monkeypatch.setattr(cycle, "N_TRIALS_SCORED_AT_ONCE", 3)
    torch.testing.assert_close(model.cycle_mix(clips, 30, 4, 1, generator=seeded()), usual, rtol=0, atol=1e-5)


def test_large_batches_are_split_into_groups(model: SSV2A, clips: Tensor) -> None:
    many = clips.repeat(12, 1, 1)
    generator = seeded()
    parts = [model.cycle_mix(part, 3, 2, 2, generator=generator) for part in many.split(cycle.N_ELEMENTS_AT_ONCE)]
    assert torch.equal(torch.cat(parts), model.cycle_mix(many, 3, 2, 2, generator=seeded()))


class Comparison:
    """Results of the plain loop for one picture, and the deviation of others from them.

    The model is made sensitive: the slots' CLAP embeddings hardly vary, so that the choice of a candidate counts, and
    the code that is fed back is large and precise, so that the feedback counts.
    """

    def __init__(self, model: SSV2A, clips: Tensor) -> None:
        with torch.no_grad():
            model.generator.out_sigma.bias.sub_(5)
            model.manifold.clap_encoder.out_sigma.bias.sub_(2)
            for linear in (model.manifold.clap_encoder.out_mu, model.remixer.styler.style_encoder.layer.esa.value):
                linear.weight.mul_(3)
            codes, _ = model.encode_clips(clips[:1])
            slots = torch.nn.functional.normalize(model.generate(codes)[0][0], dim=-1)
        slots[0] = 0
        self.slots = slots.numpy()
        self.model = model
        self.clips = clips[:1].expand(N_RESULTS, -1, -1)
        self.plain = self.figures(plain_cycle_mix(model, self.clips, **COUNTS, generator=seeded(1)))

    def figures(self, claps: Tensor) -> NDArray[np.float32]:
        """Each number of a result, and its score against the slots' mean CLAP embeddings."""
        return np.c_[claps.numpy(), (claps.numpy() @ self.slots.T).std(1, ddof=1)]

    def p_value(self, **changes: int) -> float:
        """p-value of the fast form: Kolmogorov-Smirnov tests of all figures with Bonferroni's correction."""
        fast = self.figures(self.model.cycle_mix(self.clips, **(COUNTS | changes), generator=seeded(2)))
        return min(float(ks_2samp(a, b).pvalue) for a, b in zip(fast.T, self.plain.T, strict=True)) * fast.shape[1]


def test_the_distribution_matches_the_plain_loop_and_the_test_has_power(
    model: SSV2A, clips: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cycle, "N_ELEMENTS_AT_ONCE", 500)
    comparison = Comparison(model, clips)
    assert comparison.p_value() > 1e-3

    # Deliberate defects, each of which the same comparison finds.
    assert comparison.p_value(var_samples=3) < 1e-6
    assert comparison.p_value(its=0) < 1e-6
    with monkeypatch.context() as defect:
        code, log_sigma = model.encode_clips(clips[0, :1])
        defect.setattr(model, "encode_claps", lambda claps: (code.expand(len(claps), -1), log_sigma))
        assert comparison.p_value() < 1e-6  # no feedback
    with monkeypatch.context() as defect:
        score = cycle._Cycle._score
        defect.setattr(
            cycle._Cycle, "_score", lambda *arguments: (score(*arguments)[0], torch.zeros_like(score(*arguments)[1]))
        )
        assert comparison.p_value() < 1e-6  # no choice among the candidates
    with monkeypatch.context() as defect:
        defect.setattr(cycle, "spread", lambda log_sigma, *, var_samples: spread(log_sigma, var_samples=1))
        assert comparison.p_value() < 1e-6  # the noise of one draw
