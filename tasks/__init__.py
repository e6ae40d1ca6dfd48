"""Stage bodies, one file a stage: load inputs, call one library function, return arrays. No Prefect in here.

`svdaudio.engine.execute` is what both runners call for a node; `load_body` finds the body of a stage by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


class ModelSource(Protocol):
    """Models by role, loaded when first asked for: `svdaudio.checkpoints.bundle.Models`."""

    def __getitem__(self, role: str, /) -> Any: ...


@runtime_checkable
class KeepsModels(Protocol):
    """A source of models that can be told which ones are needed together: `svdaudio.checkpoints.bundle.Models`."""

    def keep_only(self, roles: Iterable[str], /) -> None:
        """Hold these models together, and let go of all others."""
        ...


class Body(Protocol):
    """What a stage does: `run` in `tasks/<stage>.py`.

    Inputs and outputs go by the names of the stage table; an input that is a file comes as its path. Parameters
    are plain JSON data. `note` puts a remark into the artifact's record.
    """

    def __call__(
        self,
        inputs: Mapping[str, NDArray[Any] | Path],
        parameters: Mapping[str, Any],
        models: ModelSource,
        note: Callable[[str], None],
    ) -> Mapping[str, NDArray[Any]]:
        """Compute the outputs."""
        ...


def load_body(stage: str) -> Body:
    """The body of a stage, imported now."""
    return cast("Body", import_module(f"tasks.{stage}").run)
