"""Step 8, the objects: found by YOLO, embedded by CLIP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from svdaudio.models.yolo.detector import DetectionSettings, find_objects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks import ModelSource


def run(
    inputs: Mapping[str, Any], parameters: Mapping[str, Any], models: ModelSource, note: Callable[[str], None]
) -> dict[str, NDArray[Any]]:
    """Run the stage; see `tasks.Body`."""
    settings = DetectionSettings(
        confidence=parameters["confidence"],
        iou=parameters["iou"],
        max_detections=parameters["max_detections"],
        top_k=parameters["top_k"],
        augment=parameters["augment"],
    )
    found = find_objects(
        inputs["pixels"], detector=models["detector"], encoder=models["image_encoder"], settings=settings
    )
    if not len(found.boxes):
        note("no object found: the sound comes from the whole picture alone")
    return {"boxes": found.boxes, "scores": found.scores, "classes": found.classes, "embeddings": found.embeddings}
