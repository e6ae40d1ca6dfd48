"""Recipe: a YOLOv8n that finds the nine animals, trained with ultralytics' own loss."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from svdaudio.mini import farm
from svdaudio.mini.card import publish
from svdaudio.mini.composites import Rng, compose
from svdaudio.mini.harness import Schedule, fit
from svdaudio.mini.recipe import OF_PICTURES, PICTURES, Recipe, Training
from svdaudio.mini.truth import boxes_of
from svdaudio.models.yolo.detector import build_detector

N_BATCH = 16
SIZE = 256
CONFIG: dict[str, Any] = {"scale": "n", "n_classes": len(farm.CLASSES)}
GAINS = SimpleNamespace(box=7.5, cls=0.5, dfl=1.5)
"""ultralytics' weights of the loss's three parts."""
RECIPE = Recipe(
    version=1,
    module=__name__,
    architecture="ultralytics.DetectionModel",
    config=CONFIG,
    n_steps=700,
    title="Detector: YOLOv8n on nine farm animals, 256 px (mini)",
    data=PICTURES,
    steps_of=f"{N_BATCH} composites, ultralytics' loss, AdamW, bfloat16",
    licence=OF_PICTURES,
    extra={"image_size": SIZE, "names": list(farm.CLASSES)},
)


def draw(rng: Rng) -> dict[str, Tensor]:
    """A training batch in ultralytics' terms: `img`, `batch_idx`, `cls`, `bboxes` (centre, width, height), all in 0..1.

    All pictures of a batch have one size, 192 to 256 px, and sometimes less height than width: the detector sees
    pictures of any shape and, with test-time augmentation, at three scales.
    """
    pictures = [compose(rng, size=SIZE, classes=[] if rng.random() < 0.05 else None) for _ in range(N_BATCH)]
    rows: list[tuple[float, ...]] = []
    for index, picture in enumerate(pictures):
        for label, (left, top, right, bottom) in boxes_of(picture):
            centre = (left + right) / 2 / SIZE, (top + bottom) / 2 / SIZE
            rows.append((index, label, *centre, (right - left) / SIZE, (bottom - top) / SIZE))
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    images = torch.from_numpy(np.stack([picture.pixels for picture in pictures])).permute(0, 3, 1, 2).float() / 255
    width = int(rng.choice((192, 224, 256)))
    height = int(rng.choice((160, 192, 224, 256)))
    images = functional.interpolate(images, (min(height, width + 32), width), mode="bilinear", antialias=True)
    return {
        "img": images.contiguous(memory_format=torch.channels_last),
        "batch_idx": table[:, 0],
        "cls": table[:, 1],
        "bboxes": table[:, 2:],
    }


def train(training: Training) -> None:
    """Train, measure on held-out pictures, and write `detector.safetensors` and its card."""
    torch.manual_seed(training.seed)
    model = build_detector(CONFIG)
    network: Any = model  # ultralytics stores its settings on the module
    network.args = GAINS
    parts = ("box", "class", "distribution")

    def losses(_step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        batch = draw(rng)
        with torch.autocast("cpu", torch.bfloat16):
            predicted = model(batch["img"])
        predicted = {
            "boxes": predicted["boxes"].float(),
            "scores": predicted["scores"].float(),
            "feats": predicted["feats"],
        }
        total, _ = model.loss(batch, predicted)
        return dict(zip(parts, total / N_BATCH, strict=True))

    schedule = Schedule(
        n_steps=training.n_steps,
        learning_rate=2e-3,
        weight_decay=0.02,
        n_warmup_steps=min(150, training.n_steps // 4),
        clip_norm=10.0,
    )
    averaged = fit(RECIPE.role, training, model=model, losses=losses, schedule=schedule)

    from svdaudio.mini import vision_evaluation

    publish(RECIPE, training, averaged.state_dict(), vision_evaluation.detector_figures)
