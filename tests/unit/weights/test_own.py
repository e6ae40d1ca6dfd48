import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from svdaudio.errors import CheckpointError
from svdaudio.weights.own import Header, load_module, load_weights, save_weights

HEADER = Header(
    role="toy", architecture="Linear", config={"in_features": 3, "out_features": 2}, recipe="none", recipe_version=1
)


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.safetensors"
    save_weights(path, nn.Linear(3, 2).state_dict(), HEADER)
    return path


def test_weights_are_loaded_as_float32_with_their_header(tmp_path):
    linear = nn.Linear(3, 2)
    save_weights(tmp_path / "a.safetensors", {**linear.state_dict(), "steps": torch.tensor(7)}, HEADER)
    state, header = load_weights(tmp_path / "a.safetensors", role="toy")
    assert header == HEADER
    assert state["weight"].dtype == torch.float32
    assert torch.equal(state["weight"], linear.weight.detach().half().float())
    assert state["steps"].dtype == torch.int64


def test_a_module_is_loaded_frozen_in_evaluation_mode(toy):
    module, _ = load_module(toy, role="toy", build=lambda config: nn.Linear(**config))
    assert not module.training
    assert not module.weight.requires_grad


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "file not found:"),
        (lambda path: path.write_bytes(path.read_bytes()[:40]), "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: save_file({"weight": torch.zeros(1)}, path), "has no description"),
    ],
    ids=["missing", "truncated", "empty", "foreign"],
)
def test_invalid_weight_files_are_refused(toy, damage, words):
    damage(toy)
    with pytest.raises(CheckpointError, match=words):
        load_weights(toy, role="toy")


def test_another_role_is_refused(toy):
    with pytest.raises(CheckpointError, match="has another role: expected tagger, got toy"):
        load_weights(toy, role="tagger")


def test_mismatched_tensors_are_refused(toy):
    with pytest.raises(CheckpointError, match="does not match its own description"):
        load_module(toy, role="toy", build=lambda config: nn.Linear(config["in_features"], 5))


def test_a_written_file_has_default_permissions(tmp_path):
    path = tmp_path / "a.safetensors"
    save_weights(path, nn.Linear(1, 1).state_dict(), HEADER)
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
