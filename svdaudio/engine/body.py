"""Calls the body of a stage: loads its models, copies its parameters, and checks its outputs against the row."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from svdaudio.engine.stage import Body, Node, OnNote, Stage, arguments_of
from svdaudio.errors import RunError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


class ModelSource(Protocol):
    """Models by role, loaded on first use: `svdaudio.checkpoints.models.Models`."""

    def __getitem__(self, role: str, /) -> Any: ...


@runtime_checkable
class KeepsModels(Protocol):
    """A source of models that can release the ones no longer needed."""

    def keep_only(self, roles: Iterable[str], /) -> None:
        """Keep these models in memory together and release all others."""
        ...


BodyLoader = Callable[[Stage], Body]
"""Finds the body of a stage."""


def load_body(stage: Stage) -> Body:
    """Import the body that the stage's row names."""
    return stage.load_body()


def compute_outputs(
    node: Node,
    inputs: Mapping[str, NDArray[Any] | Path],
    parameters: Mapping[str, Any],
    models: ModelSource,
    note: OnNote,
    body: BodyLoader = load_body,
) -> dict[str, NDArray[Any]]:
    """Call the body of a node's stage.

    Args:
        node: the node.
        inputs: arrays and paths by the names of the row.
        parameters: plain JSON data by local names; the body receives a copy.
        models: the models of the row are loaded before the body is called.
        note: receives the notes of the body.
        body: finds the body.

    Raises:
        RunError: an output contains NaN or infinite numbers.
        RuntimeError: the body does not return the outputs of its row.
    """
    import numpy as np

    stage = node.stage
    if isinstance(models, KeepsModels) and stage.models:
        models.keep_only(stage.models)
    run = body(stage)
    arguments: dict[str, Any] = {**arguments_of(stage, inputs), **copy.deepcopy(dict(parameters))}
    arguments |= {role: models[role] for role in stage.models}
    if "note" in inspect.signature(run).parameters:
        arguments["note"] = note
    returned = run(**arguments)
    if set(returned) != set(stage.outputs):
        raise RuntimeError(f"stage {stage.name} returned {sorted(returned)}, its row says {sorted(stage.outputs)}")
    arrays = {name: np.asarray(returned[name]) for name in stage.outputs}
    wrong = [name for name, array in arrays.items() if array.dtype.kind == "f" and not np.isfinite(array).all()]
    if wrong:
        raise RunError(
            f"{node.name} computed NaN or infinite numbers, which are not stored",
            got=", ".join(wrong),
            fix="use parameters closer to their defaults; `svdaudio doctor` checks the installation",
        )
    return arrays
