"""CIAP's image encoder against torchvision's ResNet-18 and its published steps, on made-up weights."""

from __future__ import annotations

import made_up_files
import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch.nn import functional
from torchvision.transforms import Compose, Resize, ToTensor

from svdaudio.models.ciap.published import load_image_encoder
from svdaudio.svd.geometry import Geometry


@pytest.mark.parametrize("older", [False, True])
def test_embeddings_match_the_published_steps(tmp_path, older, caplog):
    path = tmp_path / "ciap_image_encoder.pt"
    state = made_up_files.write_ciap(path, older=older)
    backbone = torch.nn.Sequential(*list(torchvision.models.resnet18().children())[:-1]).eval()
    backbone.load_state_dict(
        {key.removeprefix("backbone."): value for key, value in state.items() if key.startswith("backbone.")}
    )
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, shape, np.uint8) for shape in ((300, 200, 3), (90, 400, 3))]
    preprocess = Compose([Resize((224, 224)), ToTensor()])
    inputs = torch.stack([preprocess(Image.fromarray(picture)) for picture in pictures])
    projection = "fc" if older else "proj"
    with torch.inference_mode():
        features = backbone(inputs).flatten(1)
        expected = functional.linear(features, state[f"{projection}.weight"], state[f"{projection}.bias"])
        if not older:
            expected = functional.layer_norm(expected, (512,), state["ln.weight"], state["ln.bias"])
        expected = expected / (expected.norm(dim=-1, keepdim=True) + 1e-8)
    found = load_image_encoder(path).embed(pictures, Geometry.SQUASH)
    assert np.abs(found - expected.numpy()).max() < 1e-4
    assert np.abs(found[0] - found[1]).max() > 1e-3
    assert ("older form" in caplog.text) == older
