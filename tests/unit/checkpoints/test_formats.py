"""Loaders of the published vision formats: right names, strictness, quick copies."""

from __future__ import annotations

import shutil
import warnings

import made_up_files
import numpy as np
import open_clip
import pytest
import torch
from made_up_files import SMALL_SAM
from open_clip.model import CLIP
from safetensors.torch import save_file

from svdaudio.errors import CheckpointError
from svdaudio.models.clip import published as openai_clip
from svdaudio.models.sam2 import published as sam2_hiera
from svdaudio.models.yolo import published as ultralytics_pt
from svdaudio.models.yolo.detector import DetectionSettings
from svdaudio.weights.digests import hash_file
from svdaudio.weights.quick_copy import cache_path
from svdaudio.weights.reading import read_plain, read_torchscript


def halved(model):
    return {key: value.half() for key, value in model.state_dict().items()}


def equal(one, other):
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_clip_archive(clip_archive, clip_model):
    encoder = openai_clip.load_image_encoder(clip_archive)
    wanted = {key: value.float() for key, value in halved(clip_model.visual).items()}
    assert encoder.visual.state_dict().keys() == wanted.keys()
    assert all(torch.equal(value, wanted[key]) for key, value in encoder.visual.state_dict().items())
    assert encoder.size_px == 224


def test_clip_archive_yields_the_tensors_that_torch_reads(clip_archive):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        wanted = torch.jit.load(clip_archive).state_dict()
    found = read_torchscript(clip_archive)
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert found[key].dtype == value.dtype
        assert torch.equal(found[key], value)


def test_clip_archive_is_unpacked_once(clip_archive, clip_model, tmp_path, monkeypatch):
    path = tmp_path / "ViT-L-14.pt"
    shutil.copy(clip_archive, path)
    digest = hash_file(path)
    first = openai_clip.load_image_encoder(path, digest=digest)
    monkeypatch.setattr(openai_clip, "read_visual", lambda path: pytest.fail("it was unpacked again"))
    assert equal(openai_clip.load_image_encoder(path, digest=digest).visual, first.visual)


@pytest.mark.parametrize("layout", ["state dict", "nested", "safetensors"])
def test_clip_as_a_state_dict(clip_model, tmp_path, layout):
    state = {key: value.contiguous() for key, value in clip_model.state_dict().items()}
    path = tmp_path / ("x.safetensors" if layout == "safetensors" else "x.pt")
    if layout == "safetensors":
        save_file(state, path)
    elif layout == "nested":
        torch.save({"epoch": 1, "state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
    else:
        torch.save(state, path)
    assert equal(openai_clip.load_image_encoder(path).visual, clip_model.visual)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("visual.ln_post.bias"), "lacks entry visual.ln_post.bias"),
        (lambda state: state.pop("transformer.resblocks.0.ln_1.bias"), "lacks entry transformer"),
        (lambda state: state.pop("token_embedding.weight"), "lacks entry token_embedding.weight"),
        (lambda state: state.update(extra=torch.ones(1)), "unknown entry extra"),
        (lambda state: state.update({"ln_final.bias": torch.ones(3)}), "wrong shape for ln_final.bias"),
        (lambda state: state.update({"visual.proj": torch.ones(64, 512)}), "the wrong CLIP: expected ViT-L/14"),
        (lambda state: state.pop("visual.conv1.weight"), "no vision transformer of CLIP"),
    ],
)
def test_a_different_clip_is_refused(clip_model, tmp_path, change, words):
    state = dict(clip_model.state_dict())
    change(state)
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=words):
        openai_clip.load_image_encoder(tmp_path / "x.pt")


def test_all_tensors_of_vit_l_14_fit():
    config = open_clip.get_model_config("ViT-L-14-quickgelu")
    assert config is not None
    with torch.device("meta"):
        state = CLIP(**{key: value for key, value in config.items() if key != "custom_text"}).state_dict()
    shape = openai_clip._vision_shape(None, state)
    assert (shape.width, shape.layers, shape.heads, shape.patch_size, shape.image_size) == (1024, 24, 16, 14, 224)
    openai_clip._check_entries(None, state, shape, openai_clip._text_shape(None, state))


def test_sam(sam_file):
    model = sam2_hiera.load_segmenter(sam_file, config=SMALL_SAM)._predictor.model
    wanted = read_plain(sam_file)["model"]
    assert model.state_dict().keys() == wanted.keys()
    assert all(torch.equal(value, wanted[key]) for key, value in model.state_dict().items())


def test_sam_segments(sam_file):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    mask = sam2_hiera.load_segmenter(sam_file, config=SMALL_SAM).segment(
        pixels, np.array([[30.0, 20.0]]), np.array([1])
    )
    assert mask.mask.shape == (40, 60)
    assert np.isfinite(mask.logits).all()


def test_sam_is_memory_mapped_but_an_old_file_is_copied_once(sam_file, tmp_path):
    path = tmp_path / "sam.pt"
    shutil.copy(sam_file, path)
    sam2_hiera.load_segmenter(path, digest=hash_file(path), config=SMALL_SAM)
    assert not cache_path(path, "segmenter").exists()
    torch.save(read_plain(sam_file), path, _use_new_zipfile_serialization=False)
    sam2_hiera.load_segmenter(path, digest=hash_file(path), config=SMALL_SAM)
    assert cache_path(path, "segmenter").exists()


def test_a_different_sam_is_refused(sam_file, tmp_path):
    with pytest.raises(CheckpointError, match=r"shape for|lacks entry|unknown entry"):
        sam2_hiera.load_segmenter(sam_file)
    torch.save({"weights": {}}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="is not a SAM 2 checkpoint: expected 'model' in it, got weights"):
        sam2_hiera.load_segmenter(tmp_path / "x.pt")


def test_yolo(yolo_file):
    detector = ultralytics_pt.load_detector(yolo_file)
    model = made_up_files.yolo(scale="n", names={0: "Cat", 1: "Dog", 2: "Duck"})
    wanted = {
        key: value.half().float() if value.is_floating_point() else value for key, value in model.state_dict().items()
    }
    assert detector.model.state_dict().keys() == wanted.keys()
    assert all(torch.equal(value, wanted[key]) for key, value in detector.model.state_dict().items())
    assert detector.names == ("Cat", "Dog", "Duck")
    assert (detector.image_size_px, detector.stride_px) == (640, 32)


def test_yolo_is_unpickled_once(yolo_file, tmp_path, monkeypatch):
    path = tmp_path / "yolo.pt"
    shutil.copy(yolo_file, path)
    first = ultralytics_pt.load_detector(path, digest=hash_file(path))
    monkeypatch.setattr(ultralytics_pt, "read_detector", lambda path: pytest.fail("it was read again"))
    second = ultralytics_pt.load_detector(path, digest=hash_file(path))
    assert equal(first.model, second.model)
    assert first.names == second.names
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    settings = DetectionSettings(confidence=0.0, augment=False)
    one, other = (detector.detect(pixels, settings) for detector in (first, second))
    assert np.array_equal(one.boxes, other.boxes)


def test_a_different_yolo_is_refused(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"model": torch.nn.Linear(2, 2)}, path)
    with pytest.raises(CheckpointError, match=r"not an ultralytics detector: expected a DetectionModel, got .*Linear"):
        ultralytics_pt.load_detector(path)
    model = made_up_files.yolo(scale="n", names={0: "Cat"})
    model.names = {1: "Cat"}
    made_up_files.write_yolo(path, model)
    with pytest.raises(CheckpointError, match="does not name its classes"):
        ultralytics_pt.load_detector(path)
    model.names = {0: "Cat", 1: "Dog"}
    made_up_files.write_yolo(path, model)
    with pytest.raises(CheckpointError, match="wrong shape for"):
        ultralytics_pt.load_detector(path)
