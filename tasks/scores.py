"""Step 9: class scores of a sound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from svdaudio.evaluate import class_scores
from svdaudio.memory_layout import to_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks import ModelSource


def run(
    inputs: Mapping[str, Any], parameters: Mapping[str, Any], models: ModelSource, note: Callable[[str], None]
) -> dict[str, NDArray[Any]]:
    """Run the stage; see `tasks.Body`."""
    del parameters, note
    return {"scores": class_scores(models["tagger"], to_tensor(inputs["waveform"])).numpy()}
