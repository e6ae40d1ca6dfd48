"""Step 8, the objects: detected by YOLO and embedded by CLIP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from svdaudio.models.yolo.detector import DetectionSettings, find_objects

if TYPE_CHECKING:
    from svdaudio.engine.stage import OnNote
    from svdaudio.models.clip.encoder import ImageEncoder
    from svdaudio.models.yolo.detector import Detector


def run(
    *,
    pixels: UInt8[NDArray[np.uint8], "height width 3"],
    confidence: float,
    iou: float,
    max_detections: int,
    top_k: int,
    augment: bool,
    detector: Detector,
    image_encoder: ImageEncoder,
    note: OnNote,
) -> dict[str, NDArray[Any]]:
    """Boxes [n, 4] in pixels, scores [n], classes [n] and CLIP embeddings [n, 768] of the objects in a picture."""
    settings = DetectionSettings(
        confidence=confidence, iou=iou, max_detections=max_detections, top_k=top_k, augment=augment
    )
    found = find_objects(pixels, detector=detector, encoder=image_encoder, settings=settings)
    if not len(found.boxes):
        note("no object found: the sound comes from the whole picture alone")
    return {"boxes": found.boxes, "scores": found.scores, "classes": found.classes, "embeddings": found.embeddings}
