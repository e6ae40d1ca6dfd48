"""Published vision formats against their original packages, on made-up weights."""

from __future__ import annotations

import made_up_files
import numpy as np
import pytest
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.openai import load_openai_model
from open_clip.transform import image_transform
from PIL import Image

from svdaudio.models.clip.published import load_image_encoder
from svdaudio.models.yolo.detector import DetectionSettings
from svdaudio.models.yolo.published import load_detector
from svdaudio.process_state import kept_process_state
from svdaudio.svd.geometry import Geometry


@pytest.fixture(scope="module")
def picture():
    """Blocks of colour and some noise, to which a network responds."""
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.integers(0, 256, (6, 9, 3)), np.ones((50, 50, 1)))
    return np.clip(blocks + rng.normal(0, 10, blocks.shape), 0, 255).astype(np.uint8)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # open_clip reads the archive with torch.jit.load
def test_the_class_token_equals_the_embedding_of_open_clip(tmp_path, picture):
    path = tmp_path / "ViT-L-14.pt"
    made_up_files.write_clip_archive(path, made_up_files.clip(width=128, layers=3, text_width=64, text_layers=1))
    theirs = load_openai_model(str(path), precision="fp32", device="cpu")
    preprocess = image_transform(224, is_train=False, mean=OPENAI_DATASET_MEAN, std=OPENAI_DATASET_STD)
    with torch.inference_mode():
        expected = theirs.encode_image(preprocess(Image.fromarray(picture))[None], normalize=True)[0].numpy()
    ours = load_image_encoder(path)
    seen = ours.tokens(picture, Geometry.CROP)
    assert np.abs(seen.tokens[0] - expected).max() < 1e-5
    assert np.abs(seen.embedding - expected).max() < 1e-5
    assert np.abs(ours.tokens(picture, Geometry.SQUASH).embedding - expected).max() < 1e-5


@pytest.mark.parametrize("augment", [False, True])
def test_boxes_match_the_predictor_of_ultralytics(tmp_path, picture, augment):
    with kept_process_state():
        from ultralytics import YOLO

    path = tmp_path / "yolov8n-oiv7.pt"
    model = made_up_files.yolo(scale="n", names={index: f"class {index}" for index in range(20)})
    made_up_files.write_yolo(path, model)
    settings = DetectionSettings(confidence=0.5, iou=0.3, max_detections=12, top_k=12, augment=augment)
    (result,) = YOLO(path).predict(
        Image.fromarray(picture), conf=settings.confidence, iou=settings.iou, max_det=settings.max_detections,
        augment=augment, imgsz=640, device="cpu", verbose=False, save=False, half=False,
    )  # fmt: skip
    theirs = result.boxes.data.numpy()
    theirs = theirs[np.argsort(-theirs[:, 4], kind="stable")]
    ours = load_detector(path).detect(picture, settings)
    assert len(theirs) == len(ours.boxes) > 3
    assert np.abs(ours.boxes - theirs[:, :4]).max() < 0.1
    assert np.abs(ours.scores - theirs[:, 4]).max() < 1e-3
    assert np.array_equal(ours.classes, theirs[:, 5].astype(int))
