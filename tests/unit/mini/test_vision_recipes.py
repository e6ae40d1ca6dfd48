"""The vision recipes: correct targets, losses, and minimum figures of the shipped weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from svdaudio.mini import farm, vision_evaluation
from svdaudio.mini.composites import Composite, compose
from svdaudio.mini.recipes import detector, image_encoder, segmenter
from svdaudio.models.sam2.segmenter import load_segmenter
from svdaudio.models.yolo.detector import load_detector
from svdaudio.svd.images import load_image

MINI = Path(__file__).resolve().parents[3] / "checkpoints" / "mini"


def half_cat(size: int) -> Composite:
    """A cat (class 0) that covers the left half."""
    instances = np.zeros((size, size), np.uint8)
    instances[:, : size // 2] = 1
    return Composite(pixels=np.full((size, size, 3), 99, np.uint8), instances=instances, classes=(0,))


def test_text_vectors_are_orthonormal() -> None:
    texts = image_encoder.text_vectors()
    assert texts.shape == (len(farm.CLASSES) + 1, 768)
    torch.testing.assert_close(texts @ texts.T, torch.eye(len(texts)))


def test_coverage_is_the_fraction_of_each_patch_per_class() -> None:
    batch = image_encoder.batch_of([half_cat(image_encoder.SIZE)])
    grid = batch.coverage[0].reshape(16, 16, -1)
    assert (grid[:, :8, 0] == 1).all()
    assert (grid[:, 8:, image_encoder.BACKGROUND] == 1).all()
    torch.testing.assert_close(batch.coverage.sum(-1), torch.ones(1, 256))
    assert batch.share[0, 0] == pytest.approx(0.5)


def test_correct_tokens_have_a_lower_loss_than_shuffled_ones() -> None:
    batch, texts = image_encoder.batch_of([half_cat(image_encoder.SIZE)]), image_encoder.text_vectors()
    patches = batch.coverage @ texts
    embedding = image_encoder.embedding_target(batch.share, texts)[:, None]
    right = image_encoder.losses_of(torch.cat([embedding, patches], 1), batch, None, texts)
    wrong = image_encoder.losses_of(torch.cat([-embedding, patches.flip(1)], 1), batch, None, texts)
    assert all(right[name] < wrong[name] for name in right)
    assert right["embedding"] == pytest.approx(0, abs=1e-5)
    assert right["patch"] < 0.01


def test_dropping_patches_keeps_the_targets_of_the_others() -> None:
    visual = image_encoder.build_image_encoder({**image_encoder.CONFIG, "width": 48, "layers": 1})
    batch = image_encoder.batch_of([half_cat(image_encoder.SIZE)])
    keep = torch.arange(256)[None]
    with torch.no_grad():
        every, kept = (image_encoder.kept_tokens(visual, batch.images, k) for k in (None, keep))
    torch.testing.assert_close(every, kept)
    some = image_encoder.kept_tokens(visual, batch.images, keep[:, :5])
    assert some.shape == (1, 6, 768)


def test_clicks_agree_with_the_mask() -> None:
    rng = np.random.default_rng(0)
    drawn = compose(rng, size=segmenter.SIZE, n_animals=2)
    for _ in range(20):
        animal = segmenter.prompt_targets(rng, drawn)[0]
        points, labels, mask = segmenter.prompt(rng, drawn, animal, n_points=3)
        assert labels[0] == 1
        if mask.any():
            assert all(mask[y, x] == bool(label) for (x, y), label in zip(points, labels, strict=True))
        else:
            assert all(drawn.instances[y, x] == 0 for x, y in points)


def test_prompts_ask_for_different_animals() -> None:
    rng = np.random.default_rng(0)
    drawn = compose(rng, size=segmenter.SIZE, n_animals=2)
    asked = [[animal for animal in segmenter.prompt_targets(rng, drawn)[:2] if animal is not None] for _ in range(20)]
    assert all(len(set(animals)) == len(animals) for animals in asked)


def test_correct_masks_have_a_lower_loss_and_their_iou_is_predicted() -> None:
    target = torch.zeros(1, 8, 8)
    target[:, 2:6, 2:6] = 1
    right, wrong = (2 * target - 1) * 12, (1 - 2 * target) * 12
    some = segmenter.losses_of(torch.stack([wrong, right, wrong], 1), torch.tensor([[0.0, 1.0, 0.0]]), target)
    every = segmenter.losses_of(torch.stack([right, right, right], 1), torch.tensor([[0.0, 1.0, 0.0]]), target)
    assert every["dice"] < 0.01 < some["dice"]
    assert every["focal"] < 0.01 < some["focal"]
    assert some["iou"] == pytest.approx(0)
    assert every["iou"] == pytest.approx(2 / 3)


def test_boxes_bound_the_visible_parts() -> None:
    assert detector.boxes_of(half_cat(detector.SIZE)) == [(0, (0, 0, detector.SIZE // 2, detector.SIZE))]
    batch = detector.draw(np.random.default_rng(0))
    assert batch["img"].shape[:2] == (detector.N_BATCH, 3)
    assert all(side % 32 == 0 for side in batch["img"].shape[2:])
    corners = torch.cat(
        [batch["bboxes"][:, :2] - batch["bboxes"][:, 2:] / 2, batch["bboxes"][:, :2] + batch["bboxes"][:, 2:] / 2], 1
    )
    assert corners.min() >= -1e-6
    assert corners.max() <= 1 + 1e-6


def test_detections_find_each_object_once() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]], np.float32)
    hits = vision_evaluation.matches(boxes, np.array([1, 1, 2]), boxes[:1], np.array([1]))
    assert hits[0].all()
    assert not hits[1:].any()
    assert not vision_evaluation.matches(boxes, np.array([1, 1, 2]), boxes[:0], np.zeros(0, np.int64)).any()


def test_average_precision_agrees_with_hand_computed_values() -> None:
    scores, truth = np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.array([True, False, True, False])
    assert vision_evaluation.average_precision(scores, truth) == pytest.approx((1 + 2 / 3) / 2)


def test_the_shipped_segmenter_masks_the_example_scene() -> None:
    shipped = load_segmenter(MINI / "segmenter.safetensors")
    for image, label, point in vision_evaluation.scene_clicks():
        true = load_image(image.parent / f"{image.stem}.{label}.mask.png")[..., 0] > 127
        mask = shipped.segment(load_image(image), np.array([point]), np.array([1])).mask
        assert vision_evaluation.mask_iou(mask, true) > 0.8, (image.name, label)


def test_the_shipped_detector_finds_the_animals_of_the_example_scene() -> None:
    shipped = load_detector(MINI / "detector.safetensors")
    for image, names in vision_evaluation.scene_names().items():
        assert vision_evaluation.scene_found(shipped, image) == names


def test_the_shipped_image_encoder_recognises_the_animals() -> None:
    figures = vision_evaluation.image_encoder_figures(MINI / "image_encoder.safetensors", n_pictures=6)
    assert figures[0].value > 0.6
