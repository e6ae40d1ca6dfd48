"""The forecast of the amount of computation."""

from __future__ import annotations

import pytest

from svdaudio.studies.forecast import forecast


def test_shared_computations_count_once_and_cached_ones_are_recognised(toy):
    requests = [toy.request(svd__alpha=alpha, seed=seed) for alpha in (0.1, 0.2) for seed in (1, 2)]
    before = forecast(requests, toy.store)
    assert (before.n_runs, before.n_computations, before.n_cached) == (4, 6 + 2 + 4, 0)
    assert before.left == {"image": 2, "align": 2, "factors": 2, "mix": 2, "scores": 4}
    toy.run(requests[0])
    after = forecast(requests, toy.store)
    assert (after.n_computations, after.n_cached) == (12, 8)
    assert after.left == {"mix": 1, "scores": 3}
    for request in requests:
        toy.run(request)
    assert forecast(requests, toy.store).left == {}


def test_the_time_is_known_once_every_stage_was_timed(toy):
    found = forecast([toy.request()], toy.store)
    expected = {"image": 1.0, "align": 2.0, "factors": 3.0, "mix": 4.0}
    assert found.seconds(expected) is None
    assert found.seconds({**expected, "scores": 5.0}) == pytest.approx(2 * 6 + 4 + 5)
    assert found.seconds({**expected, "scores": 5.0}, n_workers=2) == pytest.approx(21 / 2)
