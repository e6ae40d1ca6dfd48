"""Executes one node, from the references of its inputs to a reference of its outputs; every runner calls it.

Digests of the inputs → key → look-up; on a miss: lock, look again, load the inputs, call the stage's body, check its
outputs, save. Arrays never leave this module; runners pass references. Inputs are read only if something is computed. A
damaged input is quarantined, the node that made it is recomputed, and execution continues.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from socket import gethostname
from typing import TYPE_CHECKING, Any, Literal

from svdaudio.engine.body import BodyLoader, ModelSource, compute_outputs, load_body
from svdaudio.engine.plan import explain, last_computations, reasons_to_reuse
from svdaudio.engine.reasons import Reason, reason_text
from svdaudio.engine.request import Request, code_version
from svdaudio.engine.stage import FILE_PREFIX, Node
from svdaudio.errors import CorruptArtifactError, InputError, MissingArtifactError
from svdaudio.memory import keep_freed_memory
from svdaudio.store.keys import Action, digest_array, digest_file
from svdaudio.store.records import ArraySpec, ArtifactRecord
from svdaudio.store.runs import RunRecord, StageEntry

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from svdaudio.store.base import Store

NodeEvent = Literal["started", "waiting", "note"]
OnNodeEvent = Callable[[NodeEvent, str], None]


def ignore_event(what: NodeEvent, text: str) -> None:
    """Receive progress and do nothing."""
    del what, text


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The digests of a node's outputs, which runners pass from node to node."""

    node: str
    action: Action
    outputs: Mapping[str, str]
    """Output name → digest."""
    status: Literal["cached", "computed"]
    reason: str
    seconds: float
    notes: tuple[str, ...] = ()
    repaired: tuple[Reference, ...] = ()
    """Upstream nodes that were recomputed because their artifacts were damaged or missing."""

    @property
    def key(self) -> str:
        """The action key."""
        return self.action.key

    def entry(self) -> StageEntry:
        """The node's entry in the record of a run."""
        return StageEntry(
            node=self.node,
            stage=self.action.stage,
            status=self.status,
            reason=self.reason,
            key=self.key,
            seconds=self.seconds,
            notes=self.notes,
            outputs=self.outputs,
            action=self.action,
        )


class Context:
    """Everything needed to execute nodes of one request.

    Args:
        request: what is to be computed.
        store: where artifacts are.
        models: models by role.
        body: finds the body of a stage.
        earlier: runs to compare with when stating reasons, newest first; those of the store if not given.
    """

    def __init__(
        self,
        request: Request,
        store: Store,
        models: ModelSource,
        body: BodyLoader = load_body,
        earlier: Iterable[RunRecord] | None = None,
    ) -> None:
        self.request = request
        self.store = store
        self.models = models
        self.body = body
        self._earlier = earlier

    @cached_property
    def previous(self) -> dict[str, StageEntry]:
        """The last computation of each node, to compare with."""
        return last_computations(self.request, self.store, self._earlier)


class _LostInputError(Exception):
    """The artifact of an upstream node is damaged or missing."""

    def __init__(self, node: str) -> None:
        super().__init__(node)
        self.node = node


def execute(
    context: Context, name: str, upstream: Mapping[str, Reference], on_event: OnNodeEvent = ignore_event
) -> Reference:
    """Make sure that the artifact of a node is in the store.

    Args:
        context: request, store and models.
        name: the node's name.
        upstream: references of at least the nodes it reads from.
        on_event: receives "started" before the stage is computed, "waiting" while another process computes the same
            artifact, and every note of the stage.

    Raises:
        SvdAudioError: an error of the stage, the models or the store.
    """
    begun = time.perf_counter()
    node = context.request.table[name]
    known = dict(upstream)
    repaired: dict[str, Reference] = {}
    # Each round repairs one input; a faulty disk could lose an input again, so the number of rounds is limited.
    for _ in range(2 * len(node.upstream) + 1):
        try:
            reference = _find_or_compute(context, node, known, on_event)
        except _LostInputError as lost:
            restored = _restore(context, lost.node, on_event)
            known.update(restored)
            repaired.update({n: r for n, r in restored.items() if r.status == "computed"})
        else:
            return replace(reference, seconds=time.perf_counter() - begun, repaired=tuple(repaired.values()))
    raise CorruptArtifactError(
        f"inputs of {name} are damaged again and again in {context.store.location}",
        fix="check the disk, or give another --store",
    )


def load_outputs(
    context: Context, reference: Reference, names: Iterable[str] | None = None, on_event: OnNodeEvent = ignore_event
) -> dict[str, NDArray[Any]]:
    """Read a node's outputs; if they are damaged or missing, recompute them first."""
    wanted = list(reference.outputs if names is None else names)
    try:
        return _load(context, reference, wanted)
    except _LostInputError:
        restored = _restore(context, reference.node, on_event)[reference.node]
        return context.store.load(restored.key, wanted)


def _find_or_compute(context: Context, node: Node, known: Mapping[str, Reference], on_event: OnNodeEvent) -> Reference:
    request, store = context.request, context.store
    action = request.action(
        node, request.input_digests(node, {name: reference.outputs for name, reference in known.items()})
    )
    record = store.find(action.key)
    if record is not None:
        store.touch(action.key)
        return _reference(node, record, "cached", reasons_to_reuse(request, record))
    reasons = explain(node, action, context.previous.get(node.name), store)
    with store.lock(action.key, lambda: on_event("waiting", "another process computes it")):
        record = store.find(action.key)
        if record is not None:
            return _reference(node, record, "cached", reasons_to_reuse(request, record))
        return _compute(context, node, action, known, reasons, on_event)


def _compute(
    context: Context,
    node: Node,
    action: Action,
    known: Mapping[str, Reference],
    reasons: Iterable[Reason],
    on_event: OnNodeEvent,
) -> Reference:
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        on_event("note", text)

    inputs = _inputs(context, node, known)
    on_event("started", reason_text(reasons))
    if node.stage.models:
        keep_freed_memory()
    n_threads = context.request.config.execution.threads if node.stage.models else None
    begun = time.perf_counter()
    with _on_threads(n_threads):
        arrays = compute_outputs(node, inputs, action.parameters, context.models, note, context.body)
        execution = {"threads": n_threads, "n_threads": _n_threads()} if node.stage.models else {}
    seconds = time.perf_counter() - begun
    _check_files(context, node, action)
    record = ArtifactRecord(
        action=action,
        outputs={
            name: ArraySpec(digest=digest_array(array), shape=array.shape, dtype=array.dtype.newbyteorder("<").str)
            for name, array in arrays.items()
        },
        sources=dict(node.inputs),
        notes=tuple(notes),
        seconds=seconds,
        code_version=code_version(),
        host=gethostname(),
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        execution=execution,
    )
    return _reference(node, context.store.save(record, arrays), "computed", reasons)


def _reference(
    node: Node, record: ArtifactRecord, status: Literal["cached", "computed"], reasons: Iterable[Reason]
) -> Reference:
    return Reference(
        node=node.name,
        action=record.action,
        outputs={name: spec.digest for name, spec in record.outputs.items()},
        status=status,
        reason=reason_text(reasons),
        seconds=0.0,
        notes=record.notes,
    )


def _inputs(context: Context, node: Node, known: Mapping[str, Reference]) -> dict[str, NDArray[Any] | Path]:
    wanted: dict[str, list[str]] = {}
    for source in node.inputs.values():
        if not source.startswith(FILE_PREFIX):
            producer, _, output = source.rpartition(".")
            wanted.setdefault(producer, []).append(output)
    arrays = {producer: _load(context, known[producer], outputs) for producer, outputs in wanted.items()}
    return node.input_values(context.request.files, arrays)


def _load(context: Context, reference: Reference, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    record = context.store.find(reference.key)
    names = list(dict.fromkeys(names))
    if record is None or any(record.outputs[name].digest != reference.outputs[name] for name in names):
        raise _LostInputError(reference.node)
    try:
        return context.store.load(reference.key, names)
    except (CorruptArtifactError, MissingArtifactError) as error:
        raise _LostInputError(reference.node) from error


def _restore(context: Context, name: str, on_event: OnNodeEvent) -> dict[str, Reference]:
    """Execute a node and all upstream nodes: intact artifacts are found, the others are recomputed."""
    references: dict[str, Reference] = {}

    def visit(node: Node) -> None:
        for source in node.upstream:
            if source not in references:
                visit(context.request.table[source])
        reference = execute(context, node.name, references, on_event)
        for again in reference.repaired:
            references[again.node] = again
        references[node.name] = replace(reference, repaired=())

    visit(context.request.table[name])
    return references


@contextlib.contextmanager
def _on_threads(n_threads: int | None) -> Generator[None]:
    """Set torch's number of threads and restore it afterwards, so that no stage affects a later one."""
    if n_threads is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _n_threads() -> int | None:
    """Number of threads that torch uses; None if torch has not been imported."""
    torch: Any = sys.modules.get("torch")
    return None if torch is None else torch.get_num_threads()


def _check_files(context: Context, node: Node, action: Action) -> None:
    """Reject a file that changed while it was read: its result must not be stored under the old digest."""
    for name, source in node.inputs.items():
        if source.startswith(FILE_PREFIX):
            which = source.removeprefix(FILE_PREFIX)
            if digest_file(context.request.files[which], name=which) != action.inputs[name]:
                raise InputError(f"the file {context.request.files[which]} changed while it was read", fix="run again")
