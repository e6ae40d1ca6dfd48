"""Plans: which nodes of a request are cached, which would run, and why; and the differences between two runs.

    for node in plan(request, store): print(node.name, node.status, node.reason)

Nothing here imports torch, numpy, zarr or prefect.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from svdaudio.engine.provenance import sources_of
from svdaudio.engine.reasons import (
    ArtifactGone,
    NeverComputed,
    OtherStage,
    OtherThreads,
    Reason,
    Unchanged,
    WaitsFor,
    differences,
    own_differences,
    reason_text,
)
from svdaudio.engine.request import Request
from svdaudio.engine.stage import Node, Nodes, Stage
from svdaudio.store.base import Store
from svdaudio.store.keys import Action
from svdaudio.store.records import ArtifactRecord
from svdaudio.store.runs import RunRecord, StageEntry

PlanStatus = Literal["cached", "run", "unknown"]

N_RUNS_COMPARED = 50
"""How many of the newest runs are searched for the last computation of a node."""


@dataclass(frozen=True, kw_only=True)
class PlannedNode:
    """One node of a plan, with its status and the reasons for it."""

    node: Node
    key: str | None
    """The action key; None if an input is not known yet."""
    status: PlanStatus
    """`cached`: the artifact is in the store. `run`: it is not. `unknown`: an input comes from a node that has to run
    first; if its output turns out unchanged, this node is cached."""
    reasons: tuple[Reason, ...]

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name

    @property
    def reason(self) -> str:
        """The reasons as one text."""
        return reason_text(self.reasons)


def plan(request: Request, store: Store) -> list[PlannedNode]:
    """Which nodes of a request are cached, which would run, and why; in the order of execution.

    Raises:
        InputError: a file is missing or cannot be read.
        CheckpointError: the bundle lacks a model.
    """
    previous = last_computations(request, store)
    outputs: dict[str, dict[str, str]] = {}
    planned: list[PlannedNode] = []
    for node in request.nodes:
        missing = tuple(source for source in node.upstream if source not in outputs)
        entry = previous.get(node.name)
        if missing:
            reasons: list[Reason] = [WaitsFor(missing)]
            if entry is not None and entry.action is not None:
                reasons += own_differences(
                    node, entry.action, node.stage.version, request.parameters(node), request.models(node)
                )
            planned.append(PlannedNode(node=node, key=None, status="unknown", reasons=tuple(reasons)))
            continue
        action = request.action(node, request.input_digests(node, outputs))
        record = store.find(action.key)
        if record is None:
            reasons = explain(node, action, entry, store)
            planned.append(PlannedNode(node=node, key=action.key, status="run", reasons=tuple(reasons)))
        else:
            outputs[node.name] = {name: spec.digest for name, spec in record.outputs.items()}
            planned.append(
                PlannedNode(node=node, key=action.key, status="cached", reasons=reasons_to_reuse(request, record))
            )
    return planned


def reasons_to_reuse(request: Request, record: ArtifactRecord) -> tuple[Reason, ...]:
    """The reasons to reuse an artifact: it exists, and, if so, it was computed on another number of threads.

    The number of threads affects how networks round, but is not part of the key, which describes the request alone. If
    the configuration leaves the number to torch, it is that of the available cores.
    """
    now: int | None = request.config.execution.threads
    before: int | None = record.execution.get("n_threads")
    if now is None and record.execution.get("threads") is not None:
        now = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (Unchanged(),) if now is None or before in (None, now) else (Unchanged(), OtherThreads(before, now))


def explain(node: Node, action: Action, previous: StageEntry | None, store: Store) -> list[Reason]:
    """The reasons why a computation without an artifact in the store has to run.

    Args:
        node: the node.
        action: the computation.
        previous: the last known computation of this node, if any.
        store: where its artifact would be.
    """
    if store.was_quarantined(action.key):
        return [ArtifactGone(quarantined=True)]
    if previous is None or previous.action is None:
        return [NeverComputed()]
    return differences(node, previous.action, action) or [ArtifactGone(quarantined=False)]


def last_computations(request: Request, store: Store, runs: Iterable[RunRecord] | None = None) -> dict[str, StageEntry]:
    """For each node the entry to compare with: from the newest run of the same files, else from the newest run.

    Args:
        request: the request with the nodes.
        store: where runs are.
        runs: the runs to search, newest first; those of the store if not given.
    """
    same: dict[str, StageEntry] = {}
    other: dict[str, StageEntry] = {}
    needed = _files_of(request)
    stages = {node.name: node.stage.name for node in request.nodes}
    for run in islice(store.runs if runs is None else runs, N_RUNS_COMPARED):
        for entry in run.stages:
            if (
                stages.get(entry.node) != entry.stage
                or entry.node in same
                or entry.action is None
                or entry.status not in ("cached", "computed")
            ):
                continue
            files = needed[entry.node]
            if all(name in run.files and run.files[name].digest == request.file_digests[name] for name in files):
                same[entry.node] = entry
            else:
                other.setdefault(entry.node, entry)
        if len(same) == len(needed):
            break
    return {**other, **same}


def _files_of(request: Request) -> dict[str, set[str]]:
    """Node name → names of the files that it depends on, directly or through other nodes."""
    files: dict[str, set[str]] = {}
    for node in request.nodes:
        files[node.name] = set(node.files).union(*(files[name] for name in node.upstream))
    return files


@dataclass(frozen=True, kw_only=True)
class NodeDifference:
    """The difference between two runs in one node."""

    node: str
    reasons: tuple[Reason, ...]
    """Empty if the key is the same."""
    same_outputs: bool
    """Whether the outputs are nevertheless the same, so that nothing downstream differs because of this node."""

    @property
    def reason(self) -> str:
        """The reasons as one text."""
        return reason_text(self.reasons)


def compare_runs(before: RunRecord, after: RunRecord, nodes: Nodes) -> list[NodeDifference]:
    """The differences between two runs for each node that both reached, in the order of execution of `after`.

    Args:
        before: the earlier run.
        after: the later run.
        nodes: the workflow of `after`, for the dotted names of parameters and inputs.
    """
    found: list[NodeDifference] = []
    for entry in after.stages:
        earlier = before.stage(entry.node)
        if earlier is not None and earlier.action is not None and entry.action is not None:
            found.append(
                NodeDifference(
                    node=entry.node,
                    reasons=tuple(_differences(earlier.action, after, entry, nodes)),
                    same_outputs=dict(earlier.outputs) == dict(entry.outputs),
                )
            )
    return found


def _differences(before: Action, run: RunRecord, entry: StageEntry, nodes: Nodes) -> list[Reason]:
    after = entry.action
    assert after is not None
    if before.stage != after.stage:
        return [OtherStage(before.stage, after.stage)]
    return differences(nodes.get(entry.node) or _recorded_node(run, entry, after), before, after)


def _recorded_node(run: RunRecord, entry: StageEntry, action: Action) -> Node:
    """A node that the workflow no longer contains, as far as the record describes it."""
    stage = Stage(name=entry.stage, inputs=tuple(action.inputs), outputs=tuple(entry.outputs), body="", summary="")
    return Node(name=entry.node, stage=stage, inputs=sources_of(run, entry, {}))
