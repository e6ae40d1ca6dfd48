"""What a run asks for, and what of it is there already.

    request = manipulate_request(original, edited, config, bundle)
    for node in plan(request, store): print(node.name, node.status, node.reason)
    run = new_run(request, resolved)             # then flows.in_process.execute_run(request, store, models, run=run)
    request = resumed_request(run, bundle)       # go on with an earlier run

Nothing here imports torch, numpy, zarr or prefect.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from socket import gethostname
from typing import Any, Literal, Protocol, cast

from pydantic import ValidationError

from svdaudio.audioldm.backends import check_backend
from svdaudio.config import Point, Resolved, RunConfig
from svdaudio.errors import ConfigError, InputError, RunError
from svdaudio.reasons import (
    ArtifactGone,
    NeverComputed,
    OtherThreads,
    Reason,
    Unchanged,
    WaitsFor,
    differences,
    own_differences,
    reason_text,
)
from svdaudio.stages import NODES, Node, ancestors
from svdaudio.store.base import Store
from svdaudio.store.keys import Action, digest_file
from svdaudio.store.records import ArtifactRecord
from svdaudio.store.runs import FileUse, RunRecord, StageEntry, new_run_id

Kind = Literal["manipulate", "baseline"]
PlanStatus = Literal["cached", "run", "unknown"]

TARGETS: dict[Kind, tuple[str, ...]] = {
    # The edit first: a click that cannot be used is told before anything costly is computed.
    "manipulate": ("manipulated.scores", "original.scores", "edited.scores"),
    "baseline": ("original.scores",),
}
"""What each kind of run makes unless told otherwise."""

METHOD_ALONE = ("manipulated.scores",)
"""What is made without the baselines."""

N_RUNS_COMPARED = 50
"""How many of the newest runs are looked through for the last computation of a node."""

FILE_PREFIX = "file:"


class ModelDigests(Protocol):
    """What a plan needs of a checkpoint bundle: `svdaudio.bundle.Bundle`."""

    @property
    def name(self) -> str:
        """The bundle's name."""
        ...

    def digests(self, role: str) -> str:
        """sha256 of the weights of a role.

        Raises:
            CheckpointError: the bundle has none.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be computed: from which files, with which configuration and models, up to which nodes.

    Use `manipulate_request`, `baseline_request` or `resumed_request` to make one. Files are hashed once, when
    their digests are first asked for.
    """

    kind: Kind
    files: Mapping[str, Path]
    """File name in the stage table ("original", "edited") → path."""
    config: RunConfig
    bundle: ModelDigests
    targets: tuple[str, ...]
    table: Mapping[str, Node] = field(default_factory=lambda: NODES)

    @cached_property
    def nodes(self) -> list[Node]:
        """Every node needed, in the order of work."""
        for target in self.targets:
            if target not in self.table:
                raise ConfigError(f"there is no stage '{target}'", fix=f"one of {', '.join(self.table)}")
        return schedule(ancestors(self.targets, self.table))

    @cached_property
    def file_digests(self) -> dict[str, str]:
        """sha256 of every file that some node reads, by its name in the table.

        Raises:
            InputError: a file is missing or cannot be read.
        """
        names = dict.fromkeys(
            source.removeprefix(FILE_PREFIX)
            for node in self.nodes
            for source in node.inputs.values()
            if source.startswith(FILE_PREFIX)
        )
        return {name: digest_file(self.files[name], name=name) for name in names}

    def parameters(self, node: Node) -> dict[str, Any]:
        """A node's parameters by their local names, as plain JSON data."""
        return {name: self.config.value(dotted) for name, dotted in node.bindings.items()}

    def models(self, node: Node) -> dict[str, str]:
        """Digests of the models that a node draws on, by role."""
        return {role: self.bundle.digests(role) for role in node.stage.models}

    def action(self, node: Node, inputs: Mapping[str, str]) -> Action:
        """The computation of a node whose inputs have these digests."""
        return Action(
            stage=node.stage.name,
            version=node.stage.version,
            parameters=self.parameters(node),
            inputs=dict(inputs),
            models=self.models(node),
        )

    def input_digests(self, node: Node, outputs: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        """Digest of each input of a node.

        Args:
            node: which.
            outputs: node name → output name → digest, for at least the nodes upstream.
        """
        digests: dict[str, str] = {}
        for name, source in node.inputs.items():
            if source.startswith(FILE_PREFIX):
                digests[name] = self.file_digests[source.removeprefix(FILE_PREFIX)]
            else:
                producer, _, output = source.rpartition(".")
                digests[name] = outputs[producer][output]
        return digests


def manipulate_request(
    original: Path, edited: Path, config: RunConfig, bundle: ModelDigests, targets: Iterable[str] | None = None
) -> Request:
    """The method on a pair of pictures.

    Raises:
        InputError: no click says what goes or what comes.
        CheckpointError, ConfigError: as `checked`.
    """
    for points, what, option in ((config.remove, "goes", "remove"), (config.add, "comes", "add")):
        _check_points(points, what, option)
    return checked(
        Request(
            kind="manipulate",
            files={"original": original, "edited": edited},
            config=config,
            bundle=bundle,
            targets=tuple(targets or TARGETS["manipulate"]),
        )
    )


def baseline_request(
    image: Path, config: RunConfig, bundle: ModelDigests, targets: Iterable[str] | None = None
) -> Request:
    """Plain SSV2A on one picture: the nodes `original.*` of the same table.

    Raises:
        CheckpointError, ConfigError: as `checked`.
    """
    return checked(
        Request(
            kind="baseline",
            files={"original": image},
            config=config,
            bundle=bundle,
            targets=tuple(targets or TARGETS["baseline"]),
        )
    )


def checked(request: Request) -> Request:
    """The request, if all of it can be done here: nobody wants to hear after an hour that it cannot.

    Raises:
        CheckpointError: the bundle lacks a model that it will need.
        ConfigError: the backend is not installed, or cannot do what is asked for.
    """
    for role in dict.fromkeys(role for node in request.nodes for role in node.stage.models):
        request.bundle.digests(role)
    if any(node.stage.name == "diffuse" for node in request.nodes):
        check_backend(request.config.generate.backend, request.config.generate.scheduler)
    return request


def check_pictures(
    request: Request, sizes: dict[Path, tuple[int, int]] | None = None, store: Store | None = None
) -> Request:
    """The request, if its pictures can be opened and every click lies on its own. Reads headers alone.

    Args:
        request: to look over.
        sizes: width and height of pictures that have been looked at; what is looked at now is added.
        store: pictures that were decoded into it need not be opened again, nor what opens them be imported.

    Raises:
        InputError: a picture is none, or a click is outside of it.
    """
    known = {} if sizes is None else sizes
    for node in request.nodes:
        for source in node.inputs.values():
            if source.startswith(FILE_PREFIX):
                path = request.files[source.removeprefix(FILE_PREFIX)]
                known[path] = known.get(path) or _stored_size(request, node, store) or _size(path)
    for node in request.nodes:
        if node.stage.name != "mask":
            continue
        picture, name = request.files[node.inputs["pixels"].partition(".")[0]], node.bindings["points"]
        width, height = known[picture]
        for point in cast("list[list[float]]", request.config.value(name)):
            if not (0 <= point[0] < width and 0 <= point[1] < height):
                raise InputError(
                    f"the click '{name}' is outside the image {picture.name}",
                    expected=f"x in 0..{width - 1}, y in 0..{height - 1}",
                    got=f"({point[0]:g}, {point[1]:g})",
                )
    return request


def _stored_size(request: Request, node: Node, store: Store | None) -> tuple[int, int] | None:
    """Width and height of the pixels that a node made of its file before, if the store has them."""
    record = None if store is None else store.find(request.action(node, request.input_digests(node, {})).key)
    if record is None or "pixels" not in record.outputs:
        return None
    height, width, _ = record.outputs["pixels"].shape
    return width, height


def _size(path: Path) -> tuple[int, int]:
    from svdaudio.images import upright_size  # half a second of imports, for who has a new picture alone

    return upright_size(path)


def _check_points(points: tuple[Point, ...], what: str, option: str) -> None:
    if not any(point.label == 1 for point in points):
        raise InputError(f"no click says what {what}", fix=f"give --{option} X,Y, in pixels of the picture")


def resumed_request(run: RunRecord, bundle: ModelDigests, table: Mapping[str, Node] | None = None) -> Request:
    """The request of an earlier run, to go on with it.

    Raises:
        RunError: a file is gone or holds something else now, or the configuration cannot be read any more.
    """
    try:
        config = RunConfig.model_validate(run.config)
    except ValidationError as error:
        first = error.errors()[0]
        raise RunError(
            f"run {run.id} has a configuration of another version of svdaudio",
            got=f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}",
            fix="start a new run",
        ) from error
    if run.kind not in ("manipulate", "baseline"):
        raise RunError(f"run {run.id} is of an unknown kind", expected="manipulate or baseline", got=run.kind)
    request = Request(
        kind=run.kind,
        files={name: Path(use.path) for name, use in run.files.items()},
        config=config,
        bundle=bundle,
        targets=run.targets,
        table=NODES if table is None else table,
    )
    for name, use in run.files.items():
        try:
            now = digest_file(Path(use.path), name=name)
        except InputError as error:
            raise RunError(
                f"run {run.id} cannot go on, its file '{name}' cannot be read",
                got=use.path,
                fix="put it back, or start a new run",
            ) from error
        if now != use.digest:
            raise RunError(
                f"run {run.id} cannot go on, its file '{name}' has changed since",
                expected=f"sha256 {use.digest[:12]}",
                got=f"{now[:12]} in {use.path}",
                fix="put the old file back, or start a new run",
            )
    return request


def schedule(nodes: Iterable[Node]) -> list[Node]:
    """Nodes in an order that loads few models: none first, then those that the last one loaded, then by the table.

    Args:
        nodes: closed under `upstream`.
    """
    waiting = {node.name: node for node in nodes}
    order: list[Node] = []
    resident: frozenset[str] = frozenset()
    while waiting:
        ready = [node for node in waiting.values() if not any(source in waiting for source in node.upstream)]
        if not ready:
            raise ConfigError("the stage table has a cycle", got=", ".join(waiting))
        chosen = min(ready, key=lambda node: _reload_cost(node, resident))
        resident = frozenset(chosen.stage.models) or resident
        order.append(waiting.pop(chosen.name))
    return order


def _reload_cost(node: Node, resident: frozenset[str]) -> int:
    models = frozenset(node.stage.models)
    if not models:
        return 0
    return 1 if models == resident else 2


@dataclass(frozen=True, kw_only=True)
class PlannedNode:
    """What would become of one node."""

    node: Node
    key: str | None
    """The action key; None while an input is not known."""
    status: PlanStatus
    """`cached`: the artifact is there. `run`: it is not. `unknown`: an input comes from a node that has to run
    first; if that comes out as before, this node is cached."""
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
    """What of a request is there, what would run, and why; in the order of work.

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
    """That the artifact is there; and whether it would be computed on as many threads now.

    The number of threads is no part of a key although networks round differently with it: a key says what was asked
    for. Where the configuration leaves the number to torch, it is that of the available cores.
    """
    now: int | None = request.config.execution.threads
    before: int | None = record.execution.get("n_threads")
    if now is None and record.execution.get("threads") is not None:
        now = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (Unchanged(),) if now is None or before in (None, now) else (Unchanged(), OtherThreads(before, now))


def explain(node: Node, action: Action, previous: StageEntry | None, store: Store) -> list[Reason]:
    """Why a computation whose artifact is not there has to be done.

    Args:
        node: which.
        action: the computation.
        previous: the last one of this node, if any is known.
        store: where its artifact would be.
    """
    if store.was_quarantined(action.key):
        return [ArtifactGone(quarantined=True)]
    if previous is None or previous.action is None:
        return [NeverComputed()]
    return differences(node, previous.action, action) or [ArtifactGone(quarantined=False)]


def last_computations(request: Request, store: Store, runs: Iterable[RunRecord] | None = None) -> dict[str, StageEntry]:
    """For each node the entry to compare with: of the newest run of the same files, else of the newest run.

    Args:
        request: whose nodes.
        store: where runs are.
        runs: the runs to look through, newest first; those of the store if not given.
    """
    same: dict[str, StageEntry] = {}
    other: dict[str, StageEntry] = {}
    needed = _files_of(request)
    for run in islice(store.runs if runs is None else runs, N_RUNS_COMPARED):
        for entry in run.stages:
            if (
                entry.node not in needed
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
    """Node name → names of the files that it depends on, over any number of stages."""
    files: dict[str, set[str]] = {}
    for node in request.nodes:
        files[node.name] = {
            source.removeprefix(FILE_PREFIX) for source in node.inputs.values() if source.startswith(FILE_PREFIX)
        }.union(*(files[name] for name in node.upstream))
    return files


def new_run(request: Request, resolved: Resolved | None = None, *, runner: str = "in-process") -> RunRecord:
    """The record of a run that is about to start; nothing is written yet.

    Args:
        request: what is to be computed.
        resolved: tells where each value of the configuration came from.
        runner: "in-process" or "prefect".

    Raises:
        InputError: a file is missing or cannot be read.
    """
    now = datetime.now(UTC)
    return RunRecord(
        id=new_run_id(now),
        kind=request.kind,
        created_at=now.isoformat(timespec="milliseconds"),
        files={
            name: FileUse(path=str(request.files[name].absolute()), digest=digest)
            for name, digest in request.file_digests.items()
        },
        config=request.config.model_dump(mode="json"),
        sources=resolved.sources if resolved else {},
        remarks=tuple(resolved.remarks) if resolved else (),
        bundle=request.bundle.name,
        targets=request.targets,
        runner=runner,
        stages=tuple(StageEntry(node=node.name, stage=node.stage.name) for node in request.nodes),
        code_version=code_version(),
        host=gethostname(),
    )


@dataclass(frozen=True, kw_only=True)
class NodeDifference:
    """What differs in one node between two runs."""

    node: str
    reasons: tuple[Reason, ...]
    """Empty if the key is the same."""
    same_outputs: bool
    """Whether the outputs are the same nevertheless: from here on nothing differs."""

    @property
    def reason(self) -> str:
        """The reasons as one text."""
        return reason_text(self.reasons)


def compare_runs(before: RunRecord, after: RunRecord, table: Mapping[str, Node] = NODES) -> list[NodeDifference]:
    """What differs between two runs, for each node that both got to, in the order of work of `after`."""
    found: list[NodeDifference] = []
    for entry in after.stages:
        earlier = before.stage(entry.node)
        if entry.node in table and earlier is not None and earlier.action is not None and entry.action is not None:
            reasons = differences(table[entry.node], earlier.action, entry.action)
            found.append(
                NodeDifference(
                    node=entry.node, reasons=tuple(reasons), same_outputs=dict(earlier.outputs) == dict(entry.outputs)
                )
            )
    return found


@cache
def code_version() -> str:
    """This project's version, for records."""
    try:
        return version("svdaudio")
    except PackageNotFoundError:
        return "unknown"
