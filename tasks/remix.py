"""Step 8, the bridge to sound: embeddings to one CLAP embedding, by SSV2A."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from svdaudio.models.ssv2a.remix import RemixSettings, remix
from svdaudio.randomness import stage_generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks import ModelSource


def run(
    inputs: Mapping[str, Any], parameters: Mapping[str, Any], models: ModelSource, note: Callable[[str], None]
) -> dict[str, NDArray[Any]]:
    """Run the stage; see `tasks.Body`."""
    del note
    settings = RemixSettings(
        cycle_its=parameters["cycle_its"],
        cycle_samples=parameters["cycle_samples"],
        var_samples=parameters["var_samples"],
    )
    clap = remix(
        models["ssv2a"],
        embedding=inputs["embedding"],
        objects=inputs["locals"],
        settings=settings,
        generator=stage_generator(parameters["seed"], "remix"),
    )
    return {"clap": clap}
