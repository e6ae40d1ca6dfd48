"""Small checkpoints in the published formats."""

from __future__ import annotations

import made_up_files
import pytest

from svdaudio.weights.torch_files import is_torchscript

NAMES = {0: "Cat", 1: "Dog", 2: "Duck"}


@pytest.fixture(scope="session")
def clip_model():
    """A CLIP with ViT-L/14's tokens and a small width."""
    return made_up_files.clip(width=64, layers=2, text_width=64, text_layers=1)


@pytest.fixture(scope="session")
def clip_archive(clip_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "ViT-L-14.pt"
    made_up_files.write_clip_archive(path, clip_model)
    assert is_torchscript(path)
    return path


@pytest.fixture(scope="session")
def sam_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("sam") / "sam2.1_hiera_large.pt"
    made_up_files.write_sam2(path, made_up_files.SMALL_SAM)
    return path


@pytest.fixture(scope="session")
def yolo_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("yolo") / "yolov8x-oiv7.pt"
    made_up_files.write_yolo(path, made_up_files.yolo(scale="n", names=NAMES))
    return path
