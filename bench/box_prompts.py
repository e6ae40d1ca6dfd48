"""Compare IoUs of masks from boxes and from clicks, on the held-out pictures of the mini bundle.

uv run python bench/box_prompts.py [N_PICTURES]
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.models import Models
from svdaudio.figures import Figure, markdown_table, mean_figure
from svdaudio.mini.truth import click
from svdaudio.mini.vision_evaluation import HELD_OUT_SEED, held_out, mask_iou
from svdaudio.models.sam2.segmenter import Segmenter

NO_CLICK = np.zeros((0, 2), np.float32), np.zeros(0, np.int32)


def figures(segmenter: Segmenter, n_pictures: int) -> list[Figure]:
    """Mean IoU by the kind of prompt; animals that cover less than 0.4 % of the picture are omitted."""
    prompted = Segmenter(segmenter._predictor.model, takes_boxes=True)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    ious: dict[str, list[float]] = {"one click": [], "a box": [], "a box, as a prompt to the network": []}
    for index in range(n_pictures):
        picture = held_out(index, size=448)
        random = np.random.default_rng((HELD_OUT_SEED, index, 1))
        for animal in range(len(picture.classes)):
            true: NDArray[np.bool_] = picture.mask(animal)
            if true.sum() < 0.004 * true.size:
                continue
            rows, columns = np.nonzero(true)
            box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            point = np.array([click(random, true, deep=False)])
            found = (
                segmenter.segment(picture.pixels, point, np.array([1])),
                segmenter.segment_box(picture.pixels, box, *NO_CLICK),
                prompted.segment_box(picture.pixels, box, *NO_CLICK),
            )
            for values, mask in zip(ious.values(), found, strict=True):
                values.append(mask_iou(mask.mask, true))
    return [mean_figure(f"mask IoU from {name}", values) for name, values in ious.items()]


if __name__ == "__main__":
    n_pictures = int(sys.argv[1]) if len(sys.argv) > 1 else 75
    print(markdown_table(figures(Models(Bundle.open("mini"))["segmenter"], n_pictures)))
