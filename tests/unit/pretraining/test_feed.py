import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from svdaudio.errors import ConfigError
from svdaudio.pretraining.feed import Feed, Order
from svdaudio.pretraining.ranks import ALONE, Ranks


class Numbers:
    """Examples that consist of their index and a random number."""

    def example(self, index, rng):
        return {"x": np.array([index, rng.random()], np.float32)}


def order(n=10, **changes):
    values = {"indices": tuple(range(100, 100 + n)), "batch": 4, "accumulate": 1, "epochs": 3, "steps": 0, "seed": 1}
    return Order(**{**values, **changes})


def test_every_item_is_used_once_per_epoch_except_the_remainder():
    made = order()
    assert (made.batches_per_epoch, made.n_steps, made.steps_per_epoch) == (2, 6, 2)
    for epoch in range(3):
        places = [place for batch in (0, 1) for place in made.places(2 * epoch + batch)]
        assert {epoch} == {e for e, _ in places}
        assert len({index for _, index in places}) == 8
    assert made.places(0) != [(0, index) for _, index in made.places(2)]


def test_steps_and_parts_are_counted():
    made = order(n=20, accumulate=2, epochs=3)
    assert (made.batches_per_epoch, made.n_steps) == (5, 8)
    assert [made.epochs_done(step) for step in range(9)] == [0, 0, 0, 1, 1, 2, 2, 2, 3]
    assert order(steps=7).n_steps == 7


def feed(ranks=ALONE, n_workers=0):
    return Feed(Numbers(), order(accumulate=2), ranks=ranks, n_workers=n_workers, device=torch.device("cpu"))


def test_a_resumed_feed_gives_the_same_examples():
    whole = feed()
    seen = [whole.at(step, part)["x"] for step in range(3) for part in range(2)]
    resumed = feed()
    assert torch.equal(resumed.at(1, 0)["x"], seen[2])
    assert torch.equal(resumed.at(1, 1)["x"], seen[3])
    assert [index for _, index in whole.places(1, 1)] == seen[3][:, 0].tolist()
    parts = [feed(Ranks(rank=rank, n_ranks=2)).at(0, 0)["x"] for rank in (0, 1)]
    assert torch.equal(torch.cat(parts), seen[0])


def test_workers_give_the_same_examples():
    """In its own process: loaders fork, which is unsafe in a process with the threads of other tests."""
    code = "import test_feed; print(test_feed.feed(n_workers=1).at(1, 1)['x'].tolist())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout) == feed().at(1, 1)["x"].tolist()


def test_batches_that_cannot_be_filled_are_refused():
    with pytest.raises(ConfigError, match=r"larger than the training data: .*Use --set batch=3"):
        order(n=3).check(ALONE)
    with pytest.raises(ConfigError, match=r"cannot be shared among the devices: expected a multiple of 3, got 4"):
        order().check(Ranks(rank=0, n_ranks=3))
