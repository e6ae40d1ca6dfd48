"""Pictures unlike those that a bundle was trained on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from svdaudio.errors import CheckpointError
from svdaudio.models.domain import Domain, fit_limits, load_domain, principal_components
from svdaudio.weights.own import Header, save_weights

DOMAIN = Domain(
    mean=np.array([1, 0, 0], np.float32), components=np.array([[0, 1, 0]], np.float32),
    deviations=np.array([1.5], np.float32), noise=2.0, longest_distance=3.0, least_score=0.6,
)  # fmt: skip


def tokens(*mean):
    """Two tokens with this mean."""
    return np.array([mean, mean], np.float32) + np.array([[1], [-1]], np.float32)


def test_the_distance_counts_standard_deviations_within_and_outside_the_components():
    assert DOMAIN.distance(tokens(1, 0, 0)) == 0
    assert DOMAIN.distance(tokens(1, 5, 0)) == pytest.approx(2)  # sqrt(1.5² + 2²) = 2.5
    assert DOMAIN.distance(tokens(3, 0, 0)) == pytest.approx(1)
    assert DOMAIN.distance(tokens(1, 10, 6)) == pytest.approx(5)  # 4 along, 3 beside


@pytest.mark.parametrize(
    ("scores", "least", "found"),
    [
        (None, 0.0, []), ([0.7, 0.1], 0.0, []), ([0.6], 0.0, []),
        ([0.5, 0.59], 0.25, ["its surest object scores 0.59, limit 0.60"]),
        ([], 0.25, ["no object is found, limit 0.60"]), ([], 0.6, ["no object is found, limit 0.60"]),
        ([], 0.61, []), ([0.7], 0.61, []),
    ],
)  # fmt: skip
def test_only_objects_above_the_detection_threshold_must_be_certain(scores, least, found):
    scores = None if scores is None else np.array(scores, np.float32)
    assert list(DOMAIN.departures(tokens=tokens(1, 0, 0), scores=scores, least_confidence=least)) == found


def test_each_departure_is_named():
    assert DOMAIN.departures(tokens=tokens(1, 10, 6), scores=np.array([0.1])) == (
        "its tokens are 5.0 standard deviations from theirs, limit 3.0", "its surest object scores 0.10, limit 0.60"
    )  # fmt: skip
    assert DOMAIN.departures() == ()


def test_principal_components_agree_with_hand_computed_values():
    pictures = np.array([[3, 1], [3, -1], [3, 1], [3, -1]], np.float32)
    mean, components, deviations = principal_components(pictures, n_components=1)
    np.testing.assert_allclose(mean, [3, 0])
    np.testing.assert_allclose(np.abs(components), [[0, 1]])
    np.testing.assert_allclose(deviations, [1])


def test_limits_are_the_strictest_that_few_enough_exceed():
    distances, scores = np.arange(10.0), np.array([0.9] * 5 + [0.1, 0.2, 0.3, 0.4, 0.5])
    assert fit_limits(distances, scores, share=0.0) == (9, 0.1)
    assert fit_limits(distances, scores, share=0.2) == (8, 0.2)  # the farthest picture, and the least certain one
    assert fit_limits(distances, scores, share=0.39) == (8, 0.2)
    assert fit_limits(distances, scores, share=0.4) == (7, 0.3)
    assert fit_limits(distances, np.zeros(10), share=0.3) == (6, 0)  # no score is less certain than another


def write(path, *, role="domain", extra=None, **changed):
    state = {"mean": torch.zeros(3), "components": torch.zeros(2, 3), "deviations": torch.ones(2), **changed}
    extra = {"noise": 0.5, "longest_distance": 4.0, "least_score": 0.5} if extra is None else extra
    save_weights(
        path, {name: value for name, value in state.items() if value is not None},
        Header(role=role, architecture="", config={}, recipe="", recipe_version=1, extra=extra),
    )  # fmt: skip
    return path


def test_a_domain_round_trips_through_a_file(tmp_path):
    domain = load_domain(write(tmp_path / "x.safetensors"))
    assert (domain.noise, domain.longest_distance, domain.least_score) == (0.5, 4.0, 0.5)
    assert (domain.mean.shape, domain.components.shape, domain.mean.dtype) == ((3,), (2, 3), np.float32)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mean": None}, {"mean": torch.zeros(4)}, {"deviations": torch.ones(3)}, {"components": torch.zeros(3)},
        {"extra": {}}, {"extra": {"noise": "much", "longest_distance": 4, "least_score": 1}}, {"role": "tagger"},
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_in_one_line(tmp_path, wrong):
    with pytest.raises(CheckpointError, match=r"x\.safetensors") as raised:
        load_domain(write(tmp_path / "x.safetensors", **wrong))
    assert "\n" not in raised.value.line()
