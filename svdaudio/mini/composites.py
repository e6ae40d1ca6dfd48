"""Pictures of the farm with known masks: cut-outs on backgrounds, at random positions, sizes, colours and light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from svdaudio.mini import farm

Rng = np.random.Generator
Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Composite:
    """A picture and its animals.

    Attributes:
        pixels: [size, size, 3] uint8.
        instances: [size, size] uint8, 0 = background, i + 1 = the visible part of animal i.
        classes: class index (into `farm.CLASSES`) of every animal.
    """

    pixels: Image
    instances: Image
    classes: tuple[int, ...]

    def mask(self, index: int) -> NDArray[np.bool_]:
        """The visible part of animal `index`, [size, size]."""
        return self.instances == index + 1

    def box(self, index: int) -> tuple[int, int, int, int] | None:
        """Left, top, right, bottom (exclusive) of the visible part in pixels; None when nothing is visible."""
        rows, columns = np.nonzero(self.mask(index))
        if rows.size < 20:
            return None
        return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def compose(
    rng: Rng,
    *,
    size: int,
    n_animals: int | None = None,
    classes: Sequence[int] | None = None,
    backgrounds: Sequence[str] = farm.TRAIN_BACKGROUNDS,
    invented_backgrounds: float = 0.25,
    varied_backgrounds: float = 0.0,
    distractors: float = 0.0,
) -> Composite:
    """Draw one composite.

    Args:
        rng: source of every random choice.
        size: side of the square picture in pixels.
        n_animals: number of animals; 1 to 4 at random if None. Ignored when `classes` is given.
        classes: which animals, as indices; random if None.
        backgrounds: file names to choose from.
        invented_backgrounds: share of pictures on a random texture instead.
        varied_backgrounds: share of pictures whose background is combined from two and recoloured, so that a
            network does not memorise the few backgrounds.
        distractors: share of pictures with distractors: shapes, also outlines of animals, filled with another
            background, so that a network does not mistake every edge or outline for an animal.
    """
    if classes is None:
        count = n_animals if n_animals is not None else int(rng.choice(4, p=(0.3, 0.4, 0.2, 0.1))) + 1
        classes = [int(c) for c in rng.choice(len(farm.CLASSES), size=count, replace=count > len(farm.CLASSES))]
    canvas = _invented(rng, size) if rng.random() < invented_backgrounds else _background(rng, size, backgrounds)
    if varied_backgrounds and rng.random() < varied_backgrounds:
        canvas = _varied(rng, canvas, backgrounds)
    instances = np.zeros((size, size), np.uint8)
    stretch = float(np.exp(rng.uniform(-0.45, 0.2)))  # pictures of any aspect are squashed to a square
    centres = _places(rng, len(classes))
    longest = (0.95, 0.7, 0.6, 0.5)[min(len(classes), 4) - 1]
    n_distractors = int(rng.integers(1, 4)) if distractors and rng.random() < distractors else 0
    behind = n_distractors - int(n_distractors and rng.random() < 0.3)  # sometimes one is in front of all animals
    for _ in range(behind):
        _distract(rng, canvas, instances, backgrounds)
    for index, label in enumerate(classes):
        animal = _animal(rng, label, stretch=stretch, longest_px=size * rng.uniform(0.28, longest))
        _paste(rng, canvas, instances, animal, index + 1, centres[index])
    for _ in range(n_distractors - behind):
        _distract(rng, canvas, instances, backgrounds)
    return Composite(pixels=_camera(rng, canvas), instances=instances, classes=tuple(classes))


def closeup(
    rng: Rng,
    *,
    size: int,
    backgrounds: Sequence[str] = farm.TRAIN_BACKGROUNDS,
    varied_backgrounds: float = 0.0,
) -> Composite:
    """A picture like a detector's crop: one animal's box, slightly misplaced, stretched to the whole picture."""
    n_animals = int(rng.integers(1, 4))
    whole = compose(rng, size=size, n_animals=n_animals, backgrounds=backgrounds, varied_backgrounds=varied_backgrounds)
    index = int(rng.integers(len(whole.classes)))
    box = whole.box(index)
    if box is None or (box[2] - box[0]) < size // 8 or (box[3] - box[1]) < size // 8:
        return whole
    width, height = box[2] - box[0], box[3] - box[1]
    left, right = (int(np.clip(e + rng.normal(0, 0.05) * width, 0, size)) for e in (box[0], box[2]))
    top, bottom = (int(np.clip(e + rng.normal(0, 0.05) * height, 0, size)) for e in (box[1], box[3]))
    part = slice(top, max(bottom, top + 8)), slice(left, max(right, left + 8))
    return Composite(
        pixels=np.asarray(cv2.resize(whole.pixels[part], (size, size), interpolation=cv2.INTER_CUBIC), np.uint8),
        instances=np.asarray(
            cv2.resize(whole.instances[part], (size, size), interpolation=cv2.INTER_NEAREST), np.uint8
        ),
        classes=whole.classes,
    )


def depth_within(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance of each pixel of a mask from its rim, in pixels; 0 outside. The picture's edge counts as rim."""
    return np.asarray(cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3), np.float32)[1:-1, 1:-1]


def _places(rng: Rng, count: int) -> NDArray[np.float64]:
    """Centres in 0..1, kept apart where possible."""
    places = rng.uniform(0.15, 0.85, (1, 2)) if count > 1 else rng.uniform(0.3, 0.7, (1, 2))
    while len(places) < count:
        tries = rng.uniform(0.12, 0.88, (6, 2))
        distance = np.linalg.norm(tries[:, None] - places[None], axis=2).min(axis=1)
        places = np.vstack([places, tries[distance.argmax()]])
    return places


def _background(rng: Rng, size: int, names: Sequence[str]) -> Image:
    image = farm.background(names[int(rng.integers(len(names)))])
    height, width = image.shape[:2]
    part = rng.uniform(0.45, 1.0)
    part_height, part_width = int(height * part), int(width * min(1.0, part * rng.uniform(0.8, 1.25)))
    top, left = int(rng.integers(height - part_height + 1)), int(rng.integers(width - part_width + 1))
    image = image[top : top + part_height, left : left + part_width]
    if rng.random() < 0.5:
        image = image[:, ::-1]
    image = cv2.resize(np.ascontiguousarray(image), (size, size), interpolation=cv2.INTER_AREA)
    return _light(rng, np.asarray(image, np.uint8), strength=0.25)


def _invented(rng: Rng, size: int) -> Image:
    """Smooth colour noise of several scales, sometimes with a horizon: unrealistic, but without cues to a class."""
    image = np.zeros((size, size, 3), np.float32)
    for cells in (2, 5, 16, 64):
        noise = rng.normal(0, 1, (cells, cells, 3)).astype(np.float32) * rng.uniform(0, 45)
        image += cv2.resize(noise, (size, size), interpolation=cv2.INTER_LINEAR)
    image += rng.uniform(40, 215, 3)
    if rng.random() < 0.5:
        image[: int(size * rng.uniform(0.2, 0.6))] += rng.normal(0, 50, 3)
    return np.clip(image, 0, 255).astype(np.uint8)


def _varied(rng: Rng, image: Image, names: Sequence[str]) -> Image:
    """Blend in another background along an irregular edge, in bands or in blobs, and remix the colours."""
    size = image.shape[0]
    if rng.random() < 0.7:
        other = _invented(rng, size) if rng.random() < 0.3 else _background(rng, size, names)
        cells = (int(rng.integers(3, 9)), 2) if rng.random() < 0.6 else (4, 4)  # bands resemble horizons and hedges
        height = cv2.resize(rng.normal(0, 1, cells).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
        height += 0.15 * cv2.resize(rng.normal(0, 1, (size // 8, size // 8)).astype(np.float32), (size, size))
        share = 1 / (1 + np.exp(-np.clip(height * rng.uniform(4, 40), -30, 30)))[..., None]
        image = (image * share + other * (1 - share)).astype(np.uint8)
    colours = np.eye(3) + rng.normal(0, 0.15, (3, 3))
    mixed = cv2.transform(image.astype(np.float32) - 128, colours) * rng.uniform(0.6, 1.4) + 128 + rng.uniform(-30, 30)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _light(rng: Rng, image: Image, *, strength: float) -> Image:
    """Change brightness, contrast and colour cast."""
    gain = 1 + rng.uniform(-strength, strength, 3) * 0.4 + rng.uniform(-strength, strength)
    bias = rng.uniform(-30, 30) * strength
    table = np.clip(np.arange(256)[:, None] * gain + bias, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[:, None, :].reshape(1, 256, 3)), np.uint8)


def _animal(rng: Rng, label: int, *, stretch: float, longest_px: float) -> Image:
    """A cut-out, RGBA, scaled, stretched, flipped, rotated and lit."""
    kind = farm.CUTOUT_KINDS[int(rng.random() < 0.4)]
    rgba = farm.cutout(farm.CLASSES[label], kind)
    scale = longest_px / max(rgba.shape[:2])
    width = max(12, round(rgba.shape[1] * scale * stretch * float(np.exp(rng.uniform(-0.1, 0.1)))))
    height = max(12, round(rgba.shape[0] * scale))
    shrink = width * height < rgba.shape[0] * rgba.shape[1]
    rgba = cv2.resize(rgba, (width, height), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)
    if rng.random() < 0.5:
        rgba = rgba[:, ::-1]
    angle = rng.normal(0, 7)
    if abs(angle) > 3:
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 0.95)
        rgba = cv2.warpAffine(np.ascontiguousarray(rgba), turn, (width, height))
    rgba = np.array(rgba, np.uint8)
    rgba[..., :3] = _light(rng, np.ascontiguousarray(rgba[..., :3]), strength=0.3)
    return rgba


def _distract(rng: Rng, canvas: Image, instances: Image, backgrounds: Sequence[str]) -> None:
    """Paste a distractor, in place: a blob or an animal's outline, filled with a background."""
    size = canvas.shape[0]
    if rng.random() < 0.5:
        outline = _animal(
            rng, int(rng.integers(len(farm.CLASSES))), stretch=1.0, longest_px=size * rng.uniform(0.15, 0.6)
        )[..., 3]
    else:
        side = int(size * rng.uniform(0.1, 0.5))
        cells = int(rng.integers(3, 6))
        height = cv2.resize(
            rng.normal(0, 1, (cells, cells)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC
        )
        round_ = 1.5 - 3 * np.hypot(*np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side)))
        outline = (255 / (1 + np.exp(-8 * (height + round_)))).astype(np.uint8)
    filling = (
        _invented(rng, size) if rng.random() < 0.4 else _varied(rng, _background(rng, size, backgrounds), backgrounds)
    )
    height_px, width_px = outline.shape
    filling = cv2.resize(filling, (width_px, height_px), interpolation=cv2.INTER_AREA)
    _paste(rng, canvas, instances, np.dstack([filling, outline]).astype(np.uint8), 0, rng.uniform(0.05, 0.95, 2))


def _paste(rng: Rng, canvas: Image, instances: Image, rgba: Image, value: int, centre: NDArray[np.float64]) -> None:
    """Blend an animal over the canvas, in place; the pixels that it covers become part of its mask."""
    size = canvas.shape[0]
    height, width = rgba.shape[:2]
    top = int(np.clip(centre[0] * size - height / 2, -0.15 * height, size - 0.85 * height))
    left = int(np.clip(centre[1] * size - width / 2, -0.15 * width, size - 0.85 * width))
    inner = slice(max(0, -top), min(height, size - top)), slice(max(0, -left), min(width, size - left))
    outer = slice(max(0, top), min(size, top + height)), slice(max(0, left), min(size, left + width))
    part = rgba[inner]
    if part.size == 0:
        return
    alpha = part[..., 3:].astype(np.float32) / 255
    if rng.random() < 0.3:
        alpha = cv2.GaussianBlur(alpha, (3, 3), 0)[..., None]
    canvas[outer] = (part[..., :3] * alpha + canvas[outer] * (1 - alpha)).astype(np.uint8)
    instances[outer][alpha[..., 0] > 0.5] = value


def _camera(rng: Rng, image: Image) -> Image:
    """Change blur, noise and light of the whole picture."""
    if rng.random() < 0.25:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.1)), np.uint8)
    if rng.random() < 0.3:
        noise = rng.normal(0, rng.uniform(2, 8), (*image.shape[:2], 1))
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return _light(rng, image, strength=0.12)
