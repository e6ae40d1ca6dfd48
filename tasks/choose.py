"""Step 8, choice: the candidate nearest to the wanted embedding, at 22 050 Hz."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from svdaudio.audioldm.choose import choose
from svdaudio.memory_layout import to_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks import ModelSource


def run(
    inputs: Mapping[str, Any], parameters: Mapping[str, Any], models: ModelSource, note: Callable[[str], None]
) -> dict[str, NDArray[Any]]:
    """Run the stage; see `tasks.Body`."""
    del note
    kept = choose(
        models["audio_encoder"],
        to_tensor(inputs["waveforms"]),
        to_tensor(inputs["clap"]),
        duration_s=parameters["duration_s"],
    )
    return {"waveform": kept.waveform.numpy(), "similarity": kept.similarity.numpy(), "choice": kept.choice.numpy()}
