"""Step 8, the objects: YOLO detects them, and CLIP embeds each one separately.

As in SSV2A: test-time augmentation, the `top_k` boxes by confidence, each cut from the picture, enlarged to the whole
picture's size and embedded. Of more than 63 objects, SSV2A draws 63 at random; here the most confident 63 are kept.
Pictures without objects are allowed.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from jaxtyping import Float, Int
from numpy.typing import NDArray
from PIL import Image

from svdaudio.errors import CheckpointError, ConfigError
from svdaudio.models.clip.encoder import ImageEncoder
from svdaudio.models.yolo.network import ROOT, DetectionModel, non_max_suppression
from svdaudio.svd.geometry import Geometry, fit_image
from svdaudio.svd.images import Pixels
from svdaudio.weights.own import load_module

ROLE = "detector"
MAX_OBJECTS = 63
"""SSV2A's slots for objects: 64, less the one for the global embedding."""

_PADDING_GREY = 114  # YOLO's padding around non-square pictures in training


@dataclass(frozen=True, kw_only=True)
class DetectorConfig:
    """Shape of a YOLOv8: its size by letter, and its number of classes. The defaults are YOLOv8x-OIV7."""

    scale: str = "x"
    n_classes: int = 601


@dataclass(frozen=True, kw_only=True)
class DetectionSettings:
    """Settings of the object detection."""

    confidence: float = 0.25
    """Minimum confidence, 0 to 1."""
    iou: float = 0.0
    """Boxes of one class with a higher overlap than this are merged, 0 to 1."""
    max_detections: int = 64
    """Maximum number of boxes after merging."""
    top_k: int = 16
    """Maximum number of objects to keep, the most confident first; at most 63."""
    augment: bool = True
    """Detect at three scales, one of them mirrored."""

    def __post_init__(self) -> None:
        """Reject invalid settings."""
        for name in ("confidence", "iou"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ConfigError(f"locals.{name} is out of range", expected="0 to 1", got=value)
        for name, least in (("max_detections", 1), ("top_k", 0)):
            if (value := getattr(self, name)) < least:
                raise ConfigError(f"locals.{name} is too small", expected=f"at least {least}", got=value)


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Objects in a picture, the most confident first."""

    boxes: Float[NDArray[np.float32], "n 4"]
    """x1, y1, x2, y2 in pixels of the upright picture."""
    scores: Float[NDArray[np.float32], " n"]
    """Confidence, 0 to 1."""
    classes: Int[NDArray[np.int64], " n"]
    """Indices of the detector's classes."""


@dataclass(frozen=True, kw_only=True)
class Objects(Detections):
    """Detections with their CLIP embeddings."""

    embeddings: Float[NDArray[np.float32], "n dim"]
    """[n, 768], each L2-normalised."""


def build_detector(config: Mapping[str, Any]) -> DetectionModel:
    """An untrained YOLOv8 of ultralytics.

    Args:
        config: fields of `DetectorConfig`.

    Raises:
        TypeError: unknown field.
        ValueError: unknown scale.
    """
    shape = DetectorConfig(**config)
    plan: dict[str, Any] = yaml.safe_load((ROOT / "cfg/models/v8/yolov8.yaml").read_text())
    if shape.scale not in plan["scales"]:
        raise ValueError(f"unknown YOLOv8 scale {shape.scale!r}: expected {' or '.join(plan['scales'])}")
    described: Any = {**plan, "scale": shape.scale, "nc": shape.n_classes}
    return DetectionModel(described, ch=3, verbose=False)


@dataclass(frozen=True, kw_only=True)
class Letterbox:
    """The mapping of a picture into the detector's input, and its inverse."""

    image: NDArray[np.uint8]
    scale: tuple[float, float]
    """Horizontal and vertical scale; they differ by rounding to whole pixels."""
    left_px: int
    top_px: int

    @classmethod
    def fit(cls, pixels: Pixels, size_px: int, stride_px: int) -> Letterbox:
        """Scale the long side to `size_px`, and pad with grey to multiples of `stride_px`, like YOLO."""
        height, width = pixels.shape[:2]
        gain = min(size_px / height, size_px / width)
        new_height, new_width = (max(1, round(side * gain)) for side in (height, width))
        image = pixels
        if (new_height, new_width) != (height, width):
            image = cv2.resize(pixels, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
        spare_height, spare_width = (size_px - side for side in (new_height, new_width))
        half_height, half_width = (spare % stride_px / 2 for spare in (spare_height, spare_width))
        top, bottom = round(half_height - 0.1), round(half_height + 0.1)
        left, right = round(half_width - 0.1), round(half_width + 0.1)
        padded = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(_PADDING_GREY,) * 3)
        scale = (new_width / width, new_height / height)
        return cls(image=np.asarray(padded, dtype=np.uint8), scale=scale, left_px=left, top_px=top)

    def back(self, boxes: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
        """Convert boxes in the detector's input to boxes in the picture."""
        moved = (boxes - np.array([self.left_px, self.top_px] * 2, np.float32)) / np.array(self.scale * 2, np.float32)
        return np.clip(moved, 0, np.array([width, height] * 2, np.float32)).astype(np.float32)


class Detector:
    """Detects the objects in a picture. Deterministic; one thread uses the network at a time."""

    def __init__(self, model: DetectionModel, *, image_size_px: int, names: tuple[str, ...]) -> None:
        self.model = model.eval()
        self.names = names
        self._lock = threading.Lock()  # the network caches the anchors of the last picture's size
        self.stride_px = int(model.stride.max())
        # The detector needs a multiple of its stride.
        self.image_size_px = math.ceil(image_size_px / self.stride_px) * self.stride_px

    @torch.inference_mode()
    def detect(self, pixels: Pixels, settings: DetectionSettings) -> Detections:
        """The objects in an upright picture."""
        letterbox = Letterbox.fit(pixels, self.image_size_px, self.stride_px)
        device = next(self.model.parameters()).device
        batch = torch.from_numpy(letterbox.image).to(device).permute(2, 0, 1)[None].float() / 255
        with self._lock:
            predicted = self.model.predict(batch, augment=settings.augment)
        merged: Any = non_max_suppression(
            predicted, settings.confidence, settings.iou, max_det=settings.max_detections, nc=len(self.names)
        )
        found: NDArray[np.float32] = merged[0].cpu().numpy()
        boxes = letterbox.back(found[:, :4], *pixels.shape[:2])
        seen = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        order = np.flatnonzero(seen)[np.argsort(-found[seen, 4], kind="stable")][: min(settings.top_k, MAX_OBJECTS)]
        return Detections(
            boxes=boxes[order], scores=found[order, 4].astype(np.float32), classes=found[order, 5].astype(np.int64)
        )


def crops(pixels: Pixels, boxes: Float[NDArray[np.float32], "n 4"]) -> Iterator[Pixels]:
    """Each box cut from the picture and resized to the whole picture's size (bicubic), one at a time."""
    height, width = pixels.shape[:2]
    image = Image.fromarray(pixels)
    for x1, y1, x2, y2 in boxes.tolist():
        left, top = min(math.floor(x1), width - 1), min(math.floor(y1), height - 1)
        corners = (left, top, max(math.ceil(x2), left + 1), max(math.ceil(y2), top + 1))
        yield np.array(image.crop(corners).resize((width, height), Image.Resampling.BICUBIC), dtype=np.uint8)


def embed_boxes(
    pixels: Pixels, boxes: Float[NDArray[np.float32], "n 4"], encoder: ImageEncoder
) -> Float[NDArray[np.float32], "n dim"]:
    """CLIP embeddings of boxes in a picture, each L2-normalised; [0, 768] without boxes."""
    # Scaled down one by one to CLIP's input size: sixteen copies of a large picture would not fit into memory.
    return encoder.embed([fit_image(crop, Geometry.CROP, encoder.size_px) for crop in crops(pixels, boxes)])


def find_objects(pixels: Pixels, *, detector: Detector, encoder: ImageEncoder, settings: DetectionSettings) -> Objects:
    """The objects in a picture, with their embeddings."""
    found = detector.detect(pixels, settings)
    embeddings = embed_boxes(pixels, found.boxes, encoder)
    return Objects(boxes=found.boxes, scores=found.scores, classes=found.classes, embeddings=embeddings)


def load_detector(path: Path, device: str | torch.device = "cpu") -> Detector:
    """Load a detector from a weight file of this project; its header's `extra` holds `image_size` and `names`.

    Raises:
        CheckpointError: the file is missing, damaged, of another role, or does not match its own description.
    """
    model, header = load_module(path, role=ROLE, build=build_detector, device=device)
    names, image_size_px = header.extra.get("names"), header.extra.get("image_size")
    if not isinstance(names, list) or not isinstance(image_size_px, int):
        raise CheckpointError(
            f"the checkpoint {path} does not specify its classes and input size", expected="extra names and image_size"
        )
    return Detector(model, image_size_px=image_size_px, names=tuple(str(name) for name in names))
