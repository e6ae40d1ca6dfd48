"""Computes a workflow in memory, without store and record, for library functions that return arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svdaudio.config import RunConfig
from svdaudio.engine.body import ModelSource, compute_outputs
from svdaudio.engine.stage import Node, Nodes, OnNote, ancestors, in_order

if TYPE_CHECKING:
    from numpy.typing import NDArray


def compute(
    targets: Iterable[str],
    nodes: Nodes,
    config: RunConfig,
    models: ModelSource,
    *,
    files: Mapping[str, Path] | None = None,
    given: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
    note: OnNote | None = None,
) -> dict[str, dict[str, NDArray[Any]]]:
    """Compute nodes and everything upstream.

    Args:
        targets: names of nodes.
        nodes: the workflow.
        config: its parameters.
        models: models by role; nodes run in an order that loads each once.
        files: the user's files by name.
        given: node → its known outputs; neither such a node nor nodes that only it needs are computed.
        note: receives the notes of stages.

    Returns:
        Node → output name → array, for every node that was computed or given.

    Raises:
        SvdAudioError: an error of a stage or a model.
    """
    outputs: dict[str, dict[str, NDArray[Any]]] = {name: dict(arrays) for name, arrays in (given or {}).items()}
    cut = {
        name: Node(name=name, stage=node.stage, inputs={}) if name in outputs else node for name, node in nodes.items()
    }
    for node in in_order(ancestors(targets, cut)):
        if node.name in outputs:
            continue
        inputs = node.input_values(files or {}, outputs)
        parameters = {name: config.value(dotted) for name, dotted in node.bindings.items()}
        outputs[node.name] = compute_outputs(node, inputs, parameters, models, note or _ignore)
    return outputs


def _ignore(text: str) -> None:
    del text
