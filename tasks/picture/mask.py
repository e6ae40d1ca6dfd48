"""Step 1: the mask of the clicked object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from svdaudio.models.sam2.segmenter import split_points

if TYPE_CHECKING:
    from svdaudio.engine.stage import OnNote
    from svdaudio.models.sam2.segmenter import Segmenter


def run(
    *,
    pixels: UInt8[NDArray[np.uint8], "height width 3"],
    points: Sequence[Sequence[float]],
    segmenter: Segmenter,
    note: OnNote,
) -> dict[str, NDArray[Any]]:
    """Mask [height, width], its score (predicted IoU) and its logits [side, side], from clicks [x, y, label]."""
    positions, labels = split_points(points)
    found = segmenter.segment(pixels, positions, labels)
    for remark in found.remarks:
        note(remark)
    return {"mask": found.mask, "score": np.array(found.score, np.float32), "logits": found.logits}
