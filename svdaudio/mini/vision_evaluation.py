"""Held-out figures of the mini bundle's segmenter, detector and image encoder, measured through the loaders of runs.

Held out are backgrounds, placements, light and every other random choice: no picture here was seen in training or
in choosing when to stop. Intervals are 95 % bootstrap intervals over pictures (prompts for masks).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from svdaudio.figures import Figure, at_least, bootstrap, mean_figure
from svdaudio.mini import farm
from svdaudio.mini.composites import Composite, closeup, compose
from svdaudio.mini.truth import N_GRID, boxes_of, click, text_vectors
from svdaudio.models.clip.encoder import ImageEncoder, load_image_encoder
from svdaudio.models.sam2.segmenter import load_segmenter
from svdaudio.models.yolo.detector import DetectionSettings, Detector, load_detector
from svdaudio.svd.geometry import Geometry
from svdaudio.svd.images import load_image

HELD_OUT_SEED = 93_001
EXAMPLES = farm.FARM.parent
_IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)


def held_out(index: int, *, size: int, n_animals: int | None = None) -> Composite:
    """Held-out picture number `index`: other backgrounds, another seed."""
    rng = np.random.default_rng((HELD_OUT_SEED, index, 0))
    return compose(rng, size=size, n_animals=n_animals, backgrounds=farm.HELD_OUT_BACKGROUNDS, invented_backgrounds=0.0)


def held_out_classes(index: int, *, classes: Sequence[int], size: int) -> Composite:
    """Held-out picture number `index` of these animals."""
    rng = np.random.default_rng((HELD_OUT_SEED, index, 4))
    return compose(rng, size=size, classes=classes, backgrounds=farm.HELD_OUT_BACKGROUNDS, invented_backgrounds=0.0)


def segmenter_figures(path: Path, *, n_pictures: int = 150) -> tuple[Figure, ...]:
    """IoU of the mask from one click with the true visible part, on held-out pictures and on the example scene."""
    segmenter = load_segmenter(path)
    ious: list[float] = []
    for index in range(n_pictures):
        picture = held_out(index, size=448)
        rng = np.random.default_rng((HELD_OUT_SEED, index, 1))
        for animal in range(len(picture.classes)):
            true = picture.mask(animal)
            # an animal with only a few visible pixels is not a fair target for a click
            if int(true.sum()) < 0.004 * true.size:
                continue
            point = click(rng, true, deep=False)
            ious.append(mask_iou(segmenter.segment(picture.pixels, np.array([point]), np.array([1])).mask, true))
    scene: list[float] = []
    for image, label, point in scene_clicks():
        true = load_image(EXAMPLES / f"{image.stem}.{label}.mask.png")[..., 0] > 127
        scene.append(mask_iou(segmenter.segment(load_image(image), np.array([point]), np.array([1])).mask, true))
    return (
        mean_figure("mask IoU from one click", ious, goal=at_least(0.90)),
        Figure(name="mask IoU from one click, median", value=float(np.median(ious)), n=len(ious)),
        Figure(name="mask IoU from one click, example scene, worst", value=min(scene), n=len(scene)),
    )


def scene_clicks() -> list[tuple[Path, str, tuple[int, int]]]:
    """Picture, class and click point of every animal in the example scene."""
    scenes = json.loads((EXAMPLES / "scenes.json").read_text())
    return [
        (EXAMPLES / scenes[name]["image"], item["cls"], (item["point"][0], item["point"][1]))
        for name in ("original", "edited")
        for item in scenes[name]["objects"]
    ]


def mask_iou(mask: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks; 1 if both are empty."""
    union = int((mask | true).sum())
    return float((mask & true).sum() / union) if union else 1.0


def detector_figures(path: Path, *, n_pictures: int = 250) -> tuple[Figure, ...]:
    """mAP50 and mAP50-95 over the nine classes by ultralytics' own code, and detections in the example scene."""
    from svdaudio.models.yolo.network import ap_per_class

    detector = load_detector(path)
    settings = DetectionSettings(confidence=0.001, top_k=63)
    hits: list[NDArray[np.bool_]] = []
    scores: list[NDArray[np.float32]] = []
    classes: list[NDArray[np.int64]] = []
    targets: list[NDArray[np.int64]] = []
    for index in range(n_pictures):
        picture = held_out(index, size=448)
        found = detector.detect(picture.pixels, settings)
        true = boxes_of(picture)
        labels = np.array([label for label, _ in true], np.int64)
        boxes = np.array([box for _, box in true], np.float32).reshape(-1, 4)
        hits.append(matches(found.boxes, found.classes, boxes, labels))
        scores.append(found.scores)
        classes.append(found.classes)
        targets.append(labels)

    def precision(index: NDArray[np.intp]) -> NDArray[np.float64]:
        chosen = [[part[i] for i in index] for part in (hits, scores, classes, targets)]
        tp, confidence, predicted, target = (np.concatenate(part) for part in chosen)
        return np.asarray(ap_per_class(tp, confidence, predicted, target)[5].mean(axis=0))

    def mean_precision(index: NDArray[np.intp]) -> float:
        return float(precision(index)[0])

    average = precision(np.arange(n_pictures))
    low, high = bootstrap(mean_precision, n_pictures, n_resamples=200)
    right = [float(scene_found(detector, image) == names) for image, names in scene_names().items()]
    return (
        Figure(
            name="detector, mAP50 over nine classes",
            value=float(average[0]),
            low=low,
            high=high,
            n=n_pictures,
            goal=at_least(0.95),
        ),
        Figure(name="detector, mAP50-95 over nine classes", value=float(average.mean()), n=n_pictures),
        Figure(
            name="detector, pictures of the example scene with exactly their animals found",
            value=float(np.mean(right)),
            n=len(right),
        ),
    )


def scene_names() -> dict[Path, list[str]]:
    """The animals of each picture of the example scene, sorted."""
    names: dict[Path, list[str]] = {}
    for image, label, _ in scene_clicks():
        names.setdefault(image, []).append(label)
    return {image: sorted(found) for image, found in names.items()}


def scene_found(detector: Detector, image: Path) -> list[str]:
    """The animals that the detector finds with the method's settings, sorted."""
    return sorted(detector.names[c] for c in detector.detect(load_image(image), DetectionSettings()).classes.tolist())


def matches(
    boxes: NDArray[np.float32],
    classes: NDArray[np.int64],
    true_boxes: NDArray[np.float32],
    true_classes: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Which detections (most confident first) find an object not found yet, at each of ten IoU thresholds, [n, 10]."""
    hits = np.zeros((len(boxes), _IOU_THRESHOLDS.size), np.bool_)
    if not len(boxes) or not len(true_boxes):
        return hits
    low = np.maximum(boxes[:, None, :2], true_boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], true_boxes[None, :, 2:])
    overlap = np.clip(high - low, 0, None).prod(axis=2)
    area, true_area = ((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (boxes, true_boxes))
    iou = overlap / (area[:, None] + true_area[None] - overlap)
    iou[classes[:, None] != true_classes[None]] = 0
    for column, threshold in enumerate(_IOU_THRESHOLDS):
        free = np.ones(len(true_boxes), np.bool_)
        for row in range(len(boxes)):
            best = int(np.argmax(iou[row] * free))
            if free[best] and iou[row, best] >= threshold:
                hits[row, column], free[best] = True, False
    return hits


def image_encoder_figures(path: Path, *, n_pictures: int = 200) -> tuple[Figure, ...]:
    """Whether patch tokens encode what their patch shows, and the embedding what the picture shows.

    A patch that an animal covers by half or more is right when its token is nearer to that animal's prototype (the
    mean token of such patches in 120 training composites) than to those of the other eight and of the background.
    """
    encoder = load_image_encoder(path)
    train = [compose(np.random.default_rng((HELD_OUT_SEED, i, 2)), size=448) for i in range(120)]
    tokens, labels = patches(encoder, train)
    prototypes = np.stack([tokens[labels == c].mean(axis=0) for c in range(len(farm.CLASSES) + 1)])
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    texts = text_vectors().numpy()

    pictures = [held_out(i, size=448) for i in range(n_pictures)]
    by_prototype, by_text = (np.zeros((n_pictures, 2)) for _ in range(2))
    embeddings: list[NDArray[np.float32]] = []
    present: list[NDArray[np.bool_]] = []
    for index, picture in enumerate(pictures):
        tokens, labels = patches(encoder, [picture])
        animal = labels < len(farm.CLASSES)
        for table, vectors in ((by_prototype, prototypes), (by_text, texts)):
            nearest = (tokens[animal] @ vectors.T).argmax(axis=1)
            table[index] = (nearest == labels[animal]).sum(), animal.sum()
        embeddings.append(encoder.embed([picture.pixels])[0])
        share = [float(picture.mask(i).mean()) for i in range(len(picture.classes))]
        shown = {label for label, part in zip(picture.classes, share, strict=True) if part > 0.006}
        present.append(np.isin(np.arange(len(farm.CLASSES)), list(shown)))
    likeness, truth = np.stack(embeddings) @ texts[:-1].T, np.stack(present)

    closeups = [
        closeup(np.random.default_rng((HELD_OUT_SEED, i, 3)), size=320, backgrounds=farm.HELD_OUT_BACKGROUNDS)
        for i in range(n_pictures)
    ]
    crops = encoder.embed([picture.pixels for picture in closeups]) @ texts[:-1].T
    largest = [main_animal(picture) for picture in closeups]

    def share_right(table: NDArray[np.float64], index: NDArray[np.intp]) -> float:
        right, n = table[index].sum(axis=0)
        return float(right / n)

    def mean_precision(index: NDArray[np.intp]) -> float:
        return float(
            np.nanmean([average_precision(likeness[index, c], truth[index, c]) for c in range(len(farm.CLASSES))])
        )

    def prototype_share(index: NDArray[np.intp]) -> float:
        return share_right(by_prototype, index)

    everything = np.arange(n_pictures)
    low, high = bootstrap(prototype_share, n_pictures)
    ap_low, ap_high = bootstrap(mean_precision, n_pictures, n_resamples=300)
    return (
        Figure(
            name="patch tokens, nearest class prototype",
            value=share_right(by_prototype, everything),
            low=low,
            high=high,
            n=int(by_prototype[:, 1].sum()), goal=at_least(0.90),
        ),
        Figure(
            name="patch tokens, nearest text vector",
            value=share_right(by_text, everything),
            n=int(by_text[:, 1].sum()),
        ),
        Figure(
            name="embedding, mean average precision of the animals present",
            value=mean_precision(everything),
            low=ap_low,
            high=ap_high,
            n=n_pictures,
        ),
        mean_figure(
            "embedding of a detector's crop, nearest text vector",
            (crops.argmax(axis=1) == np.array(largest)).astype(float).tolist(),
        ),
    )  # fmt: skip


def patches(encoder: ImageEncoder, pictures: Sequence[Composite]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Normalised tokens of the patches that one class covers by half or more, [n, 768], and the classes, [n]."""
    tokens: list[NDArray[np.float32]] = []
    labels: list[NDArray[np.intp]] = []
    for picture in pictures:
        side = picture.instances.shape[0] // N_GRID
        label = np.array([len(farm.CLASSES), *picture.classes])[picture.instances]
        cells = label.reshape(-1, side, N_GRID, side).transpose(0, 2, 1, 3).reshape(-1, side * side)
        share = np.stack([(cells == c).mean(axis=1) for c in range(len(farm.CLASSES) + 1)], axis=1)
        clear = share.max(axis=1) >= 0.5
        tokens.append(encoder.tokens(picture.pixels, Geometry.SQUASH).tokens[1:][clear])
        labels.append(share.argmax(axis=1)[clear])
    return np.concatenate(tokens), np.concatenate(labels)


def main_animal(picture: Composite) -> int:
    """Class of the animal that covers most of a picture."""
    return picture.classes[int(np.argmax([picture.mask(i).sum() for i in range(len(picture.classes))]))]


def average_precision(scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """Mean of the precision at each true sample, in order of falling scores; NaN if there is none."""
    right = truth[np.argsort(-scores, kind="stable")]
    if not right.any():
        return float("nan")
    return float((right.cumsum() / np.arange(1, right.size + 1))[right].mean())
