"""The arrays of a run by node, sound and score: only finished ones, each read once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from svdaudio.engine.arrays import RunArrays


@pytest.fixture
def sounding(toy):
    """The toy method, with two of its arrays declared as a sound and its scores."""
    toy.method = replace(
        toy.method,
        sounds=lambda config: {"mixed": "mix.embedding", "none": "nowhere.waveform"},
        scores=lambda config: {"mixed": "manipulated.scores.scores", "none": "nowhere.scores"},
    )
    return toy


def arrays_of(toy, run, **counts):
    def read(node):
        counts.setdefault("read", []).append(node)
        return toy.store.load(run.stage(node).key)

    return RunArrays(run, toy.method, read, toy.bundle.classes)


def test_every_node_is_read_once_and_only_on_access(toy):
    run, read = toy.run(), []
    arrays = arrays_of(toy, run, read=read)
    assert arrays.has("mix", "original.image")
    assert arrays.nodes.keys() == {entry.node for entry in run.stages}
    assert read == []
    arrays["mix"]
    assert arrays.output("mix.embedding") is arrays["mix"]["embedding"]
    assert read == ["mix"]


def test_only_finished_sounds_and_scores_are_listed(sounding):
    run = sounding.run()
    arrays = arrays_of(sounding, run)
    assert arrays.sounds_done() == {"mixed": "mix"}
    assert arrays.sounds()["mixed"] is arrays["mix"]["embedding"]
    scores = arrays["manipulated.scores"]["scores"]
    assert arrays.scores() == {
        "mixed": dict(zip(("cat", "dog", "duck"), (round(float(one), 6) for one in scores), strict=True))
    }
    failed = run.with_stage(replace(run.stage("manipulated.scores"), status="failed"))
    again = arrays_of(sounding, failed)
    assert (again.scores(), again.key("manipulated.scores"), again.key("nowhere")) == ({}, None, None)
    assert not again.has("mix", "manipulated.scores")


def test_parameters_are_those_that_entered_the_node(toy):
    arrays = arrays_of(toy, toy.run(toy.request(svd__alpha=0.2)))
    assert arrays.parameters("mix") == {"alpha": 0.2, "k": 5}
    assert arrays.parameters("original.image") == arrays.parameters("nowhere") == {}
    assert arrays.config.svd.alpha == 0.2


def test_arrays_are_read_from_the_store_of_the_run(toy):
    run = toy.run()
    arrays = RunArrays.in_store(run, toy.method, toy.store, toy.bundle.classes)
    np.testing.assert_array_equal(arrays["original.image"]["pixels"], [1, 2, 6, 8])
    with pytest.raises(KeyError, match="nowhere"):
        arrays["nowhere"]
