"""Verification: every model computes one step."""

from __future__ import annotations

import json

import pytest
import torch
from pretend_gpu import GPU, PretendGpu

from svdaudio.checkpoints import install
from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.description import MANIFEST
from svdaudio.checkpoints.roles import LOADERS
from svdaudio.checkpoints.verify import STEPS, verify
from svdaudio.errors import CheckpointError
from svdaudio.weights.quick_copy import cache_path

CPU = torch.device("cpu")


def test_every_role_has_a_step():
    assert STEPS.keys() == LOADERS.keys()


@pytest.mark.parametrize("role", Bundle.open("mini-pretrained").roles)
def test_every_shipped_model_takes_a_step(role):
    given = verify(Bundle.open("mini-pretrained"), role, device=CPU)
    with PretendGpu():
        assert verify(Bundle.open("mini-pretrained"), role, device=GPU) == given


def test_a_published_file_is_read_instead_of_its_quick_copy(tmp_path, yolo_file):
    folder = tmp_path / "full"
    install.take(yolo_file, folder, trust=True)
    bundle = Bundle.open("full", tmp_path)
    copy = cache_path(folder / "yolov8x-oiv7.pt", "detector")
    assert verify(bundle, "detector", device=CPU)
    made = copy.stat().st_mtime_ns
    assert verify(bundle, "detector", device=CPU)
    assert copy.stat().st_mtime_ns > made


def test_invalid_results_are_detected(monkeypatch):
    monkeypatch.setitem(STEPS, "vocoder", lambda model: [float("nan")])
    with pytest.raises(CheckpointError, match="computes invalid numbers"):
        verify(Bundle.open("mini"), "vocoder", device=CPU)


def test_a_replaced_file_is_detected(tmp_path, yolo_file):
    folder = tmp_path / "full"
    install.take(yolo_file, folder, trust=True)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["models"]["detector"]["sha256"] = "0" * 64
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="does not match the description"):
        verify(Bundle.open("full", tmp_path), "detector", device=CPU)
