"""Step 3: the patches that a mask covers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from svdaudio.svd.align import align_mask
from svdaudio.svd.geometry import Geometry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks import ModelSource


def run(
    inputs: Mapping[str, Any], parameters: Mapping[str, Any], models: ModelSource, note: Callable[[str], None]
) -> dict[str, NDArray[Any]]:
    """Run the stage; see `tasks.Body`."""
    del models, note
    region = align_mask(inputs["mask"], Geometry.of(parameters["geometry"]), parameters["threshold"])
    return {"coverage": region.coverage, "grid": region.grid}
