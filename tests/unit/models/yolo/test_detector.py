"""Objects of a picture, with a small YOLO and a tiny image encoder."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from svdaudio.errors import CheckpointError, ConfigError
from svdaudio.models.clip.encoder import ImageEncoder, build_image_encoder
from svdaudio.models.yolo.detector import (
    MAX_OBJECTS,
    DetectionSettings,
    Detector,
    Letterbox,
    build_detector,
    crops,
    embed_boxes,
    find_objects,
    load_detector,
)
from svdaudio.weights.own import Header, save_weights

CONFIG = {"scale": "n", "n_classes": 3}
NAMES = ("cat", "dog", "duck")
EVERYTHING = DetectionSettings(confidence=0.0, iou=0.9, max_detections=200, top_k=63, augment=False)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_detector(CONFIG)


@pytest.fixture(scope="module")
def detector(model):
    return Detector(model, image_size_px=96, names=NAMES)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return ImageEncoder(build_image_encoder({"width": 32, "layers": 1, "heads": 2}))


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (90, 140, 3), np.uint8)


@pytest.mark.parametrize("size", [(90, 140), (140, 90), (1000, 300), (64, 64), (97, 333), (16, 900)])
def test_fitting_is_that_of_yolo(size):
    letterbox = pytest.importorskip("ultralytics.data.augment").LetterBox
    scale_boxes = pytest.importorskip("ultralytics.utils.ops").scale_boxes
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    theirs = letterbox(new_shape=(256, 256), auto=True, stride=32)(image=pixels)
    ours = Letterbox.fit(pixels, 256, 32)
    assert np.array_equal(ours.image, theirs)
    boxes = np.array([[3.0, 4.0, 60.0, 90.0], [-5.0, -5.0, 300.0, 300.0]], np.float32)
    expected = scale_boxes(theirs.shape[:2], torch.from_numpy(boxes.copy()), size).numpy()
    np.testing.assert_allclose(ours.back(boxes, *size), expected, atol=1e-3)


@pytest.mark.parametrize("augment", [False, True])
def test_objects_lie_in_the_picture_in_order_of_confidence(detector, pixels, augment):
    found = detector.detect(pixels, DetectionSettings(confidence=0.0, iou=0.9, top_k=9, augment=augment))
    assert found.boxes.shape == (9, 4)
    assert (found.boxes[:, :2] >= 0).all()
    assert (found.boxes[:, 2:] <= (140, 90)).all()
    assert (found.boxes[:, :2] < found.boxes[:, 2:]).all()
    assert (np.diff(found.scores) <= 0).all()
    assert set(found.classes.tolist()) <= {0, 1, 2}
    assert (found.boxes.dtype, found.scores.dtype, found.classes.dtype) == (np.float32, np.float32, np.int64)


def planted(monkeypatch, detector, rows):
    """Makes the network return boxes (x, y, width, height in its input) and one score for each class."""
    answer = torch.tensor(rows, dtype=torch.float32).T[None]
    monkeypatch.setattr(detector.model, "predict", lambda *_, **__: (answer, None))


def test_boxes_are_mapped_back_to_pixels_of_the_picture(monkeypatch, detector):
    pixels = np.zeros(
        (192, 96, 3), np.uint8
    )  # fitted at half its size, 96 x 48, padded to 96 x 64: 8 px left and right
    planted(monkeypatch, detector, [[28.0, 20.0, 20.0, 10.0, 0.1, 0.9, 0.2]])
    found = detector.detect(pixels, DetectionSettings())
    np.testing.assert_allclose(found.boxes, [[20, 30, 60, 50]], atol=1e-3)
    assert found.classes.tolist() == [1]
    np.testing.assert_allclose(found.scores, [0.9])


def test_settings_select_boxes(monkeypatch, detector, pixels):
    rows = [
        [20, 20, 20, 20, 0.9, 0, 0],
        [28, 20, 20, 20, 0.8, 0, 0],  # overlaps the first, of the same class
        [28, 20, 20, 20, 0, 0.7, 0],  # overlaps it, of another class
        [70, 40, 10, 10, 0, 0, 0.4],
        [70, 10, 10, 10, 0, 0, 0.1],
    ]
    planted(monkeypatch, detector, rows)

    def scores(**settings):
        return [round(score, 2) for score in detector.detect(pixels, DetectionSettings(**settings)).scores.tolist()]

    assert scores() == [0.9, 0.7, 0.4]
    assert scores(iou=0.9) == [0.9, 0.8, 0.7, 0.4]
    assert scores(confidence=0.05) == [0.9, 0.7, 0.4, 0.1]
    assert scores(confidence=0.5) == [0.9, 0.7]
    assert scores(top_k=1) == [0.9]
    assert scores(max_detections=2) == [0.9, 0.7]
    assert scores(top_k=0) == []


def test_never_more_objects_than_slots(detector, pixels):
    found = detector.detect(pixels, DetectionSettings(confidence=0.0, iou=1.0, max_detections=300, top_k=200))
    assert len(found.boxes) == MAX_OBJECTS


@pytest.mark.parametrize(
    "wrong", [{"confidence": 1.1}, {"confidence": float("nan")}, {"iou": -0.1}, {"max_detections": 0}, {"top_k": -1}]
)
def test_invalid_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"locals.{next(iter(wrong))}"):
        DetectionSettings(**wrong)


def test_a_crop_has_the_size_of_the_whole_picture(pixels):
    boxes = np.array([[10.2, 20.7, 50.1, 60.0], [139.9, 89.9, 140.0, 90.0]], np.float32)
    found = list(crops(pixels, boxes))
    expected = Image.fromarray(pixels[20:60, 10:51]).resize((140, 90), Image.Resampling.BICUBIC)
    assert np.array_equal(found[0], np.asarray(expected))
    assert (found[1] == pixels[89, 139]).all()


def test_crops_are_embedded_like_pictures(encoder, pixels):
    boxes = np.array([[10, 20, 50, 60], [0, 0, 140, 90]], np.float32)
    found = embed_boxes(pixels, boxes, encoder)
    np.testing.assert_allclose(found, encoder.embed(list(crops(pixels, boxes))), atol=1e-6)
    np.testing.assert_allclose(found[1], encoder.embed([pixels])[0], atol=1e-5)


def test_objects_come_with_embeddings(detector, encoder, pixels):
    found = find_objects(
        pixels, detector=detector, encoder=encoder, settings=DetectionSettings(confidence=0, iou=0.9, top_k=3)
    )
    assert found.embeddings.shape == (3, 768)
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, atol=1e-5)


def test_no_objects_are_allowed(detector, encoder, pixels):
    found = find_objects(pixels, detector=detector, encoder=encoder, settings=DetectionSettings(confidence=1.0))
    assert found.boxes.shape == (0, 4)
    assert found.embeddings.shape == (0, 768)
    assert found.scores.shape == found.classes.shape == (0,)


def saved(path, model, **changes):
    values = {"config": CONFIG, "extra": {"image_size": 96, "names": list(NAMES)}, **changes}
    save_weights(
        path, model.state_dict(), Header(role="detector", architecture="YOLOv8", recipe="-", recipe_version=1, **values)
    )
    return path


def test_weights_round_trip_through_a_file(tmp_path, model, pixels):
    found = load_detector(saved(tmp_path / "detector.safetensors", model))
    assert found.names == NAMES
    assert found.image_size_px == 96
    assert found.detect(pixels, EVERYTHING).boxes.shape == (63, 4)


@pytest.mark.parametrize(
    "changes",
    [
        {"extra": {}},
        {"extra": {"names": "abc", "image_size": 96}},
        {"config": {"scale": "q", "n_classes": 3}},
        {"config": {"scale": "n", "n_classes": 4}},
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, model, changes):
    with pytest.raises(CheckpointError, match="does not"):
        load_detector(saved(tmp_path / "detector.safetensors", model, **changes))


def test_importing_yolo_has_no_side_effects(tmp_path):
    """Importing the detector prints nothing, writes nothing to the user's home folder, and keeps the environment."""
    code = (
        "import os; before = dict(os.environ); import svdaudio.models.yolo.network, ultralytics; "
        "changed = {k for k in os.environ if k.startswith('YOLO') or k == 'OMP_NUM_THREADS'}; "
        "assert not changed, changed; assert not ultralytics.utils.ONLINE"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("YOLO") and k != "OMP_NUM_THREADS"}
    environment |= {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "MPLCONFIGDIR": str(tmp_path / "mpl"),
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.rglob("*ltralytics*"))
