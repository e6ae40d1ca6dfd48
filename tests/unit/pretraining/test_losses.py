import numpy as np
import pytest
import torch
from torch.nn import functional

from svdaudio.pretraining.losses import contrastive, identity_targets, soft_targets


@pytest.fixture
def sides():
    generator = torch.Generator().manual_seed(0)
    return [functional.normalize(torch.randn(6, 8, generator=generator), dim=1) for _ in range(2)]


def cross_entropy_by_hand(first, second, scale, targets):
    """Cross-entropy of rows and of columns, term by term."""
    logits = scale * first.double().numpy() @ second.double().numpy().T

    def direction(logits, shares):
        losses = [
            -sum(shares[i, j] * (logits[i, j] - np.log(np.exp(logits[i]).sum())) for j in range(len(logits)))
            for i in range(len(logits))
        ]
        return np.mean(losses)

    shares = targets.double().numpy()
    columns = shares / shares.sum(axis=0)
    return (direction(logits, shares) + direction(logits.T, columns.T)) / 2


@pytest.mark.parametrize("scale", [1.0725, 14.29])
def test_with_one_correct_answer_each_the_loss_is_info_nce(sides, scale):
    targets = identity_targets(6)
    found = float(contrastive(*sides, scale=scale, targets=targets))
    assert found == pytest.approx(cross_entropy_by_hand(*sides, scale, targets), rel=1e-5)
    labels = torch.arange(6)
    logits = scale * sides[0] @ sides[1].T
    plain = (functional.cross_entropy(logits, labels) + functional.cross_entropy(logits.T, labels)) / 2
    assert found == pytest.approx(float(plain), rel=1e-6)


def test_shared_answers(sides):
    likeness = sides[0] @ sides[0].T
    targets = soft_targets(likeness, temperature=0.5)
    np.testing.assert_allclose(targets.sum(dim=1), 1, rtol=1e-6)
    assert (targets.argmax(dim=1) == torch.arange(6)).all()
    found = float(contrastive(*sides, scale=10.0, targets=targets))
    assert found == pytest.approx(cross_entropy_by_hand(*sides, 10.0, targets), rel=1e-5)


def test_a_small_temperature_leaves_only_the_item_itself(sides):
    likeness = sides[0] @ sides[0].T
    np.testing.assert_allclose(soft_targets(likeness, temperature=0.01), np.eye(6), atol=1e-6)


def test_the_published_scale_hardly_separates():
    """The loss of 320 perfectly aligned pairs is 4.70 (chance: 5.77) at scale e^0.07, and 0 at 1/0.07."""
    aligned = torch.eye(320)
    targets = identity_targets(320)
    assert float(contrastive(aligned, aligned, scale=np.exp(0.07), targets=targets)) == pytest.approx(4.70, abs=0.01)
    assert float(contrastive(aligned, aligned, scale=1 / 0.07, targets=targets)) < 0.001
