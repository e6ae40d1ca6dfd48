"""Step 8, diffusion: a CLAP embedding to latents, every candidate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from svdaudio.audioldm.backends import open_backend
from svdaudio.memory_layout import to_tensor
from svdaudio.randomness import stage_generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks import ModelSource


def run(
    inputs: Mapping[str, Any], parameters: Mapping[str, Any], models: ModelSource, note: Callable[[str], None]
) -> dict[str, NDArray[Any]]:
    """Run the stage; see `tasks.Body`."""
    del note
    latents = open_backend(parameters["backend"]).diffuse(
        models["diffuser"],
        to_tensor(inputs["clap"]),
        scheduler=parameters["scheduler"],
        n_steps=parameters["steps"],
        guidance_scale=parameters["guidance_scale"],
        n_candidates=parameters["n_candidates"],
        duration_s=parameters["duration_s"],
        generator=stage_generator(parameters["seed"], "diffuse"),
        precision=parameters["precision"],
    )
    return {"latents": latents.numpy()}
