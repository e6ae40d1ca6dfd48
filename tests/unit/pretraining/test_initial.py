import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18

from svdaudio.errors import CheckpointError, ConfigError
from svdaudio.models.ciap.encoder import ROLE, CiapNetwork
from svdaudio.pretraining.initial import set_initial_weights
from svdaudio.weights.own import Header, save_weights

SMALL = {"widths": [8, 8, 8, 8], "image_size": 32}


def network(init, config=SMALL, seed=0):
    made = CiapNetwork(**config)
    set_initial_weights(made, made.backbone, str(init), role=ROLE, config=config, seed=seed)
    return made


def test_random_weights_depend_only_on_the_seed():
    torch.manual_seed(7)
    first = network("random")
    torch.manual_seed(8)
    for a, b in zip(first.state_dict().values(), network("random").state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.proj.weight, network("random", seed=1).proj.weight)


@pytest.mark.parametrize("kind", ["pth", "safetensors", "nested"])
def test_torchvision_weights_fill_the_backbone(tmp_path, kind):
    state = resnet18(weights=None).state_dict()
    path = tmp_path / ("r.safetensors" if kind == "safetensors" else "r.pth")
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state} if kind == "nested" else state, path)
    made = network(path, {"widths": [64, 128, 256, 512], "image_size": 64})
    assert torch.equal(made.backbone.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
    with pytest.raises(
        ConfigError, match=r"the widths in .* differ from network\.widths: .* Use --set network\.widths="
    ):
        network(path)
    del state["layer1.0.conv1.weight"]
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"is not a ResNet-18: it lacks entry layer1\.0\.conv1\.weight"):
        network(tmp_path / "other.pth")


def test_an_earlier_result_is_fine_tuned(tmp_path):
    path, first = tmp_path / "a.safetensors", network("random", seed=3)
    header = Header(role=ROLE, architecture="", config=SMALL, recipe="", recipe_version=1)
    save_weights(path, first.state_dict(), header)
    assert torch.equal(network(path).proj.weight, first.proj.weight.half().float())
    with pytest.raises(ConfigError, match=r"the network in .* differs from the settings"):
        network(path, {**SMALL, "image_size": 64})
    save_weights(path, {"proj.weight": first.proj.weight}, header)
    with pytest.raises(CheckpointError, match="cannot be read: expected tensors that match its description"):
        network(path)


def test_missing_and_damaged_files_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="file not found:"):
        network(tmp_path / "none.pth")
    (tmp_path / "bad.pth").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="cannot be read"):
        network(tmp_path / "bad.pth")
