import made_up_files
import numpy as np
import pytest
import torch

from svdaudio.checkpoints.recognise import recognise_format
from svdaudio.errors import CheckpointError
from svdaudio.models.ciap.published import load_image_encoder
from svdaudio.svd.geometry import Geometry

PICTURE = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ciap_image_encoder.pt"


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("wrap", [None, "state_dict", "model_state_dict"])
def test_every_published_form_is_recognised_and_loads(path, older, wrap):
    state = made_up_files.write_ciap(path, older=older)
    plain = load_image_encoder(path).embed([PICTURE], Geometry.SQUASH)
    if wrap is not None:
        torch.save({wrap: {f"module.{key}": value for key, value in state.items()}, "epoch": 110}, path)
    assert recognise_format(path) == "ciap-resnet18"
    assert np.array_equal(load_image_encoder(path).embed([PICTURE], Geometry.SQUASH), plain)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("ln.weight"), "lacks entry ln.weight"),
        (lambda state: state.pop("proj.bias"), "lacks entry proj.bias"),
        (lambda state: state.pop("backbone.7.1.conv2.weight"), "lacks entry backbone.layer4.1.conv2.weight"),
        (lambda state: state.update({"fc.weight": torch.zeros(512, 512)}), "has an unknown entry fc.weight"),
        (lambda state: state.update({"backbone.9.weight": torch.zeros(1)}), "has an unknown entry backbone.9.weight"),
        (lambda state: state.update({"proj.weight": torch.zeros(512, 256)}), "has the wrong shape for proj.weight"),
    ],
)
def test_no_tensor_is_skipped(path, change, message):
    state = made_up_files.write_ciap(path)
    change(state)
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=message):
        load_image_encoder(path)


def test_a_quick_copy_yields_the_same_network(path):
    made_up_files.write_ciap(path)
    first, second = (load_image_encoder(path, digest="0" * 64).embed([PICTURE], Geometry.SQUASH) for _ in range(2))
    assert np.array_equal(first, second)
    assert list(path.parent.glob(".*.safetensors"))
