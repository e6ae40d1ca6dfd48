"""Step 2: all CLIP tokens of a picture, and its image embedding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from svdaudio.svd.geometry import Geometry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks import ModelSource


def run(
    inputs: Mapping[str, Any], parameters: Mapping[str, Any], models: ModelSource, note: Callable[[str], None]
) -> dict[str, NDArray[Any]]:
    """Run the stage; see `tasks.Body`."""
    del note
    seen = models["image_encoder"].tokens(inputs["pixels"], Geometry.of(parameters["geometry"]))
    return {"tokens": seen.tokens, "embedding": seen.embedding}
