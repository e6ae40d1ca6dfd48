"""A workflow in memory against the same workflow in a store, and with some nodes given."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import TOY_NODES

from svdaudio.engine.in_memory import compute
from svdaudio.errors import ConfigError
from svdaudio.methods.manipulate import ManipulateConfig


@pytest.fixture
def computed(monkeypatch):
    """The names of the computed nodes, in order."""
    from svdaudio.engine import in_memory

    names = []
    real = in_memory.compute_outputs

    def counted(node, *arguments):
        names.append(node.name)
        return real(node, *arguments)

    monkeypatch.setattr(in_memory, "compute_outputs", counted)
    return names


def test_memory_and_store_give_equal_results(toy):
    run = toy.run()
    notes = []
    found = compute(toy.method.targets, TOY_NODES, toy.config, toy.models, files=toy.files, note=notes.append)
    assert found.keys() == TOY_NODES.keys() == {entry.node for entry in run.stages}
    for entry in run.stages:
        stored = toy.store.load(entry.key)
        assert stored.keys() == found[entry.node].keys()
        for name, array in stored.items():
            np.testing.assert_array_equal(found[entry.node][name], array)
            assert found[entry.node][name].dtype == array.dtype
    assert sorted(notes) == sorted(note for entry in run.stages for note in entry.notes)
    assert notes


def test_the_configuration_is_the_same_as_with_a_store(toy):
    request = toy.request(svd__alpha=0.2, seed=7)
    run = toy.run(request)
    found = compute(["manipulated.scores"], TOY_NODES, request.config, toy.models, files=toy.files)
    stored = toy.store.load(run.stage("manipulated.scores").key)
    np.testing.assert_array_equal(found["manipulated.scores"]["scores"], stored["scores"])


def test_only_nodes_that_the_targets_need_are_computed(toy, computed):
    found = compute(["original.align"], TOY_NODES, toy.config, toy.models, files=toy.files)
    assert computed == ["original.image", "original.align"]
    assert found.keys() == {"original.image", "original.align"}


def test_given_nodes_and_their_exclusive_ancestors_are_not_computed(toy, computed):
    """The files of the given half do not exist."""
    region = np.array([7.0, 5.0], np.float32)
    given = {"edited.factors": {"region": region}}
    found = compute(["mix"], TOY_NODES, toy.config, toy.models, files={"original": toy.files["original"]}, given=given)
    assert computed == ["original.image", "original.align", "original.factors", "mix"]
    assert found.keys() == {*computed, "edited.factors"}
    np.testing.assert_array_equal(found["mix"]["embedding"], np.array([0.3 * 14, 12, 5], np.float32))
    assert found["edited.factors"]["region"] is region
    assert given == {"edited.factors": {"region": region}}


def test_ancestors_of_given_nodes_are_computed_if_other_nodes_need_them(toy, computed):
    given = {"original.align": {"grid": np.array([True, False, False, False])}}
    found = compute(["original.factors"], TOY_NODES, toy.config, toy.models, files=toy.files, given=given)
    assert computed == ["original.image", "original.factors"]
    np.testing.assert_array_equal(found["original.factors"]["region"], [1])


def test_a_given_target_is_not_computed(toy, computed):
    given = {"mix": {"embedding": np.zeros(3, np.float32)}}
    found = compute(["mix"], TOY_NODES, toy.config, toy.models, given=given)
    assert computed == []
    assert found.keys() == {"mix"}


def test_only_needed_models_are_requested(toy):
    compute(["mix"], TOY_NODES, toy.config, {}, files=toy.files)
    with pytest.raises(KeyError, match="tagger"):
        compute(["manipulated.scores"], TOY_NODES, toy.config, {}, files=toy.files)


def test_an_unknown_target_is_refused(toy):
    with pytest.raises(ConfigError, match="unknown stage 'nothing'"):
        compute(["nothing"], TOY_NODES, ManipulateConfig(), toy.models, files=toy.files)
