"""The reasons why a stage runs, as values: the differences between a computation and the last one of its node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from svdaudio.engine.stage import Node
from svdaudio.store.keys import Action

_MAX_VALUE_TEXT = 60


@dataclass(frozen=True)
class Unchanged:
    """The same computation was done before; its artifact is in the store."""

    def __str__(self) -> str:
        return "unchanged"


@dataclass(frozen=True)
class OtherThreads:
    """The artifact was computed on another number of threads, so a new result may differ by rounding."""

    before: int
    after: int

    def __str__(self) -> str:
        return f"computed on {self.before} threads, not {self.after}: the last bits may differ"


@dataclass(frozen=True)
class NeverComputed:
    """No known run included this stage."""

    def __str__(self) -> str:
        return "never computed"


@dataclass(frozen=True)
class ArtifactGone:
    """The same computation was done before, but its artifact is no longer in the store."""

    quarantined: bool

    def __str__(self) -> str:
        return "the artifact was damaged and is in quarantine" if self.quarantined else "the artifact was removed"


@dataclass(frozen=True)
class VersionChanged:
    """The stage now has another version, which computes something else."""

    before: int
    after: int

    def __str__(self) -> str:
        return f"stage version {self.before} → {self.after}"


@dataclass(frozen=True)
class OtherStage:
    """The node of that name now uses another stage."""

    before: str
    after: str

    def __str__(self) -> str:
        return f"stage changed {self.before} → {self.after}"


@dataclass(frozen=True)
class ParameterChanged:
    """A parameter, by its dotted name, has another value."""

    name: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.name} changed {_short(self.before)} → {_short(self.after)}"


@dataclass(frozen=True)
class InputChanged:
    """An input has other content; `source` is `node.output` or `file:<name>`."""

    name: str
    source: str

    def __str__(self) -> str:
        if self.source.startswith("file:"):
            return f"file '{self.source.removeprefix('file:')}' changed"
        return f"input {self.name} changed ({self.source.rpartition('.')[0]})"


@dataclass(frozen=True)
class ModelChanged:
    """A model has other weights."""

    role: str

    def __str__(self) -> str:
        return f"model {self.role} changed"


@dataclass(frozen=True)
class WaitsFor:
    """Inputs come from nodes that have to run first; if their outputs turn out the same, this node need not run."""

    nodes: tuple[str, ...]

    def __str__(self) -> str:
        return f"waits for {', '.join(self.nodes)}"


Reason = (
    Unchanged
    | OtherThreads
    | NeverComputed
    | ArtifactGone
    | VersionChanged
    | OtherStage
    | ParameterChanged
    | InputChanged
    | ModelChanged
    | WaitsFor
)


def reason_text(reasons: Iterable[Reason]) -> str:
    """Reasons as one text."""
    return "; ".join(str(reason) for reason in reasons)


def own_differences(
    node: Node, before: Action, version: int, parameters: Mapping[str, Any], models: Mapping[str, str]
) -> list[Reason]:
    """The differences from an earlier computation in the stage's version, its parameters and its models."""
    reasons: list[Reason] = []
    if before.version != version:
        reasons.append(VersionChanged(before.version, version))
    for name, value in parameters.items():
        if name not in before.parameters or before.parameters[name] != value:
            reasons.append(ParameterChanged(node.bindings.get(name, name), before.parameters.get(name), value))
    reasons += [ModelChanged(role) for role, digest in models.items() if before.models.get(role) != digest]
    return reasons


def differences(node: Node, before: Action, after: Action) -> list[Reason]:
    """All differences between two computations of a node; empty if they have the same key."""
    reasons = own_differences(node, before, after.version, after.parameters, after.models)
    reasons += [
        InputChanged(name, node.inputs.get(name, name))
        for name, digest in after.inputs.items()
        if before.inputs.get(name) != digest
    ]
    if not reasons and before.key != after.key:  # a parameter, input or model was dropped
        reasons.append(VersionChanged(before.version, after.version))
    return reasons


def _short(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _MAX_VALUE_TEXT else text[: _MAX_VALUE_TEXT - 1] + "…"
