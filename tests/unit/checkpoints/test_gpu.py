"""Every published vision format and tagger on a simulated GPU: bitwise the results of the CPU."""

from __future__ import annotations

import made_up_files
import numpy as np
import pytest
import torch
from made_up_files import SMALL_SAM
from pretend_gpu import GPU, PretendGpu

from svdaudio.models.clip import published as openai_clip
from svdaudio.models.sam2 import published as sam2_hiera
from svdaudio.models.taggers import cnn14, spectrogram_transformer
from svdaudio.models.yolo import published as ultralytics_pt
from svdaudio.models.yolo.detector import DetectionSettings
from svdaudio.svd.geometry import Geometry

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
SOUND = torch.randn(1, 32_000, generator=torch.Generator().manual_seed(0)) / 10


@pytest.fixture
def tagger_files(tmp_path):
    made_up_files.write_cnn14(tmp_path / "cnn14.pth")
    torch.manual_seed(0)
    made_up_files.write_ast(tmp_path, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    return tmp_path


def agree(step):
    with PretendGpu():
        there = step(GPU)
    np.testing.assert_array_equal(np.asarray(there), np.asarray(step("cpu")))


def test_sam(sam_file):
    click = np.array([[30.0, 20.0]]), np.array([1])
    agree(lambda device: sam2_hiera.load_segmenter(sam_file, device, config=SMALL_SAM).segment(PIXELS, *click).logits)


def test_clip(clip_archive):
    agree(lambda device: openai_clip.load_image_encoder(clip_archive, device).tokens(PIXELS, Geometry.SQUASH).tokens)


def test_yolo(yolo_file):
    settings = DetectionSettings(confidence=0.0, max_detections=4, augment=True)
    agree(lambda device: ultralytics_pt.load_detector(yolo_file, device).detect(PIXELS, settings).boxes)


def test_the_taggers(tagger_files):
    agree(lambda device: cnn14.load_tagger(tagger_files / "cnn14.pth", device).scores(SOUND, 32_000))
    agree(lambda device: spectrogram_transformer.load_tagger(tagger_files, device).scores(SOUND, 32_000))
