"""Step 1: the mask of what was clicked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from svdaudio.models.sam2.segmenter import split_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks import ModelSource


def run(
    inputs: Mapping[str, Any], parameters: Mapping[str, Any], models: ModelSource, note: Callable[[str], None]
) -> dict[str, NDArray[Any]]:
    """Run the stage; see `tasks.Body`."""
    del note
    points, labels = split_points(parameters["points"])
    found = models["segmenter"].segment(inputs["pixels"], points, labels)
    return {"mask": found.mask, "score": np.array(found.score, np.float32), "logits": found.logits}
