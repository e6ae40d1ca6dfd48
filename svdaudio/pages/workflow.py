"""The workflow of a run as a diagram: one cell per node, in columns by depth and rows by group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.stage import Nodes, group_of
from svdaudio.store.base import Store
from svdaudio.store.runs import StageEntry

CELL_WIDTH, CELL_HEIGHT = 92, 34
GAP_X, GAP_Y = 20, 10
LABEL_WIDTH = 96


@dataclass(frozen=True, kw_only=True)
class OutputArray:
    """An output array of a node."""

    name: str
    shape: str
    dtype: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A node in the diagram."""

    node: str
    stage: str
    summary: str
    status: str
    seconds: float
    reason: str
    key: str
    parameters: Mapping[str, Any]
    outputs: Sequence[OutputArray]
    notes: Sequence[str]
    x: float
    y: float


@dataclass(frozen=True, kw_only=True)
class WorkflowPicture:
    """Cells and edges, in pixels."""

    cells: Sequence[Cell]
    edges: Sequence[str]
    """SVG paths."""
    groups: Sequence[tuple[str, float]]
    """Name and y of each row of cells."""
    width: float
    height: float


def workflow_picture(arrays: RunArrays, store: Store) -> WorkflowPicture:
    """The nodes that a run needed, each with its status.

    Args:
        arrays: of the run.
        store: the store with its artifacts, for the shapes of their arrays.
    """
    entries = {entry.node: entry for entry in arrays.run.stages if entry.node in arrays.nodes}
    groups = dict.fromkeys(_group(name) for name in arrays.nodes if name in entries)
    places, rows = _places({name: arrays.nodes[name] for name in entries}, groups)
    cells = [_cell(arrays, store, entries[name], *places[name]) for name in places]
    edges = [
        _edge(places[upstream], places[name])
        for name in places
        for upstream in arrays.nodes[name].upstream
        if upstream in places
    ]
    return WorkflowPicture(
        cells=cells,
        edges=edges,
        groups=rows,
        width=max((x for x, _ in places.values()), default=0.0) + CELL_WIDTH + 2,
        height=max((y for _, y in places.values()), default=0.0) + CELL_HEIGHT + 2,
    )


def _places(nodes: Nodes, groups: Iterable[str]) -> tuple[dict[str, tuple[float, float]], list[tuple[str, float]]]:
    """The upper left corner of each node, and name and y of each group.

    Args:
        nodes: in an order where each follows those it reads from.
        groups: in the order of their rows.
    """
    depths: dict[str, int] = {}
    for name, node in nodes.items():
        depths[name] = 1 + max((depths[one] for one in node.upstream if one in depths), default=-1)
    taken: dict[tuple[str, int], int] = {}
    lines: dict[str, int] = {}
    within: dict[str, tuple[str, int]] = {}
    for name in nodes:
        group = _group(name)
        line = taken.get((group, depths[name]), 0)
        taken[group, depths[name]] = line + 1
        lines[group] = max(lines.get(group, 0), line + 1)
        within[name] = group, line
    starts: dict[str, int] = {}
    for group in groups:
        starts[group] = sum(lines[one] for one in starts)
    step_x, step_y = CELL_WIDTH + GAP_X, CELL_HEIGHT + GAP_Y
    places = {
        name: (LABEL_WIDTH + depths[name] * step_x + 1.0, (starts[group] + line) * step_y + 1.0)
        for name, (group, line) in within.items()
    }
    return places, [(group, start * step_y + 1.0) for group, start in starts.items()]


def _group(node: str) -> str:
    return group_of(node) or "edit"


def _edge(begin: tuple[float, float], end: tuple[float, float]) -> str:
    x1, y1 = begin[0] + CELL_WIDTH, begin[1] + CELL_HEIGHT / 2
    x2, y2 = end[0], end[1] + CELL_HEIGHT / 2
    bend = max(14.0, (x2 - x1) / 2)
    return f"M{x1:g},{y1:g} C{x1 + bend:g},{y1:g} {x2 - bend:g},{y2:g} {x2:g},{y2:g}"


def _cell(arrays: RunArrays, store: Store, entry: StageEntry, x: float, y: float) -> Cell:
    record = store.find(entry.key) if entry.key and entry.outputs else None
    shapes = {} if record is None else record.outputs
    return Cell(
        node=entry.node,
        stage=entry.node.rpartition(".")[2],
        summary=arrays.nodes[entry.node].stage.summary,
        status=entry.status,
        seconds=entry.seconds,
        reason=entry.reason,
        key=entry.key or "",
        parameters={} if entry.action is None else entry.action.parameters,
        outputs=[
            OutputArray(
                name=name,
                shape=" × ".join(map(str, shapes[name].shape)) or "1" if name in shapes else "no longer in the store",
                dtype=str(np.dtype(shapes[name].dtype)) if name in shapes else "",
                digest=digest,
            )
            for name, digest in entry.outputs.items()
        ],
        notes=entry.notes,
        x=x,
        y=y,
    )
