"""Step 8, vocoder: log-mel spectrograms to waveforms at 16 kHz."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from svdaudio.audioldm.backends import open_backend
from svdaudio.memory_layout import to_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks import ModelSource


def run(
    inputs: Mapping[str, Any], parameters: Mapping[str, Any], models: ModelSource, note: Callable[[str], None]
) -> dict[str, NDArray[Any]]:
    """Run the stage; see `tasks.Body`."""
    del note
    vocode = open_backend(parameters["backend"]).vocode
    return {"waveforms": vocode(models["vocoder"], to_tensor(inputs["mel"])).numpy()}
