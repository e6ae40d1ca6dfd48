from pathlib import Path

import pytest

from svdaudio.engine.stage import NODES, ancestors
from svdaudio.methods.stages import STAGES
from svdaudio.views.diagram import mermaid

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("node", NODES.values(), ids=list(NODES))
def test_every_input_is_an_output_of_another_node_or_a_file(node):
    assert set(node.inputs) == set(node.stage.inputs)
    for source in node.inputs.values():
        upstream, _, output = source.rpartition(".")
        assert source in ("file:original", "file:edited") or output in NODES[upstream].stage.outputs


@pytest.mark.parametrize("stage", STAGES.values(), ids=list(STAGES))
def test_every_stage_has_a_body_and_is_used(stage):
    assert (ROOT / "tasks" / f"{stage.name}.py").is_file()
    assert any(node.stage is stage for node in NODES.values())


def test_ancestors_come_before_what_reads_them():
    order = [node.name for node in ancestors(["manipulated.scores"])]
    assert len(order) == len(set(order))
    for node in ancestors(["manipulated.scores"]):
        assert all(order.index(source) < order.index(node.name) for source in node.upstream)
    assert "original.locals" not in order


def test_the_picture_in_the_documents_is_that_of_the_table():
    assert f"```mermaid\n{mermaid()}\n```" in (ROOT / "docs" / "ARCHITECTURE.md").read_text()
