"""Workflows as tables: inputs of nodes, and the order of computation."""

from __future__ import annotations

from itertools import pairwise

import pytest
from conftest import TOY_NODES

from svdaudio.engine.stage import Node, Stage, ancestors, by_name, group_of, in_order
from svdaudio.errors import ConfigError
from svdaudio.methods.manipulate import ManipulateConfig, nodes

TABLE = nodes(ManipulateConfig())


def made(name, *sources, models=(), parameters=None):
    inputs = tuple(f"i{n}" for n in range(len(sources)))
    bound = {"alpha": "svd.alpha"}
    stage = Stage(name=name, inputs=inputs, parameters=bound, models=models, outputs=("y",), body="", summary="")
    return Node(
        name=name, stage=stage, inputs=dict(zip(stage.inputs, sources, strict=True)), parameters=parameters or {}
    )


def test_a_node_knows_where_its_inputs_come_from():
    node = made("c", "file:one", "g.a.y", "b.y", "g.a.z", "file:one")
    assert (node.upstream, node.files) == (("g.a", "b"), ("one",))
    assert (group_of("g.sub.a"), group_of("a")) == ("g.sub", "")


def test_a_node_binds_parameters_to_its_own_names():
    assert made("a").bindings == {"alpha": "svd.alpha"}
    assert made("a", parameters={"alpha": "mix.alpha"}).bindings == {"alpha": "mix.alpha"}


def test_duplicate_node_names_are_refused():
    assert list(by_name((made("a"), made("b")))) == ["a", "b"]
    with pytest.raises(ConfigError, match="the workflow has two nodes 'a'"):
        by_name((made("a"), made("b"), made("a")))


def test_ancestors_come_before_their_readers():
    order = [node.name for node in ancestors(["manipulated.scores"], TABLE)]
    assert len(order) == len(set(order))
    for node in ancestors(["manipulated.scores"], TABLE):
        assert all(order.index(source) < order.index(node.name) for source in node.upstream)
    assert "original.locals" not in order
    with pytest.raises(ConfigError, match="unknown stage 'nothing'") as caught:
        ancestors(["nothing"], TOY_NODES)
    assert caught.value.expected == f"one of {', '.join(TOY_NODES)}"


def test_work_is_ordered_to_load_few_models():
    order = in_order(TABLE.values())
    assert {node.name for node in order} == TABLE.keys()
    seen = set()
    for node in order:
        assert seen.issuperset(node.upstream)
        seen.add(node.name)
    loads = [node.stage.models for node in order if node.stage.models]
    changes = 1 + sum(one != other for one, other in pairwise(loads))
    assert changes == len(set(loads))


def test_among_equals_the_given_order_decides():
    table = [made("b"), made("a"), made("d", "a.y", models=("m",)), made("c", "b.y", models=("m",)), made("e", "a.y")]
    assert [node.name for node in in_order(table)] == ["b", "a", "e", "d", "c"]


def test_a_cycle_is_detected():
    with pytest.raises(ConfigError, match=r"has a cycle: got (a → b → a|b → a → b)"):
        in_order([made("a", "b.y"), made("b", "a.y")])


def test_a_body_is_found_by_its_row():
    stage = TOY_NODES["mix"].stage
    assert stage.load_body().__name__ == "_mix"
    for wrong in ("conftest:_nothing", "svdaudio.tasks.nowhere:run"):
        with pytest.raises((ImportError, AttributeError)):
            Stage(name="x", inputs=(), outputs=(), body=wrong, summary="").load_body()
