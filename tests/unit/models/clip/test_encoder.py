"""The image encoder, on a tiny vision transformer of open_clip."""

from __future__ import annotations

import numpy as np
import open_clip
import pytest
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.transform import image_transform
from PIL import Image

from svdaudio.errors import CheckpointError
from svdaudio.models.clip.encoder import (
    ImageEncoder,
    ImageEncoderConfig,
    build_image_encoder,
    load_image_encoder,
    normalise_pixels,
    project_tokens,
)
from svdaudio.svd.geometry import Geometry, fit_image
from svdaudio.weights.own import Header, save_weights

TINY = {"width": 32, "layers": 2, "heads": 2}


@pytest.fixture(scope="module")
def visual():
    torch.manual_seed(0)
    return build_image_encoder(TINY).eval()


@pytest.fixture(scope="module")
def encoder(visual):
    return ImageEncoder(visual)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (150, 260, 3), np.uint8)


def test_the_defaults_are_clip_vit_l_14():
    config, shape = open_clip.get_model_config("ViT-L-14-quickgelu"), ImageEncoderConfig()
    vision = config["vision_cfg"]
    assert shape.output_dim == config["embed_dim"]
    assert shape.quick_gelu == config["quick_gelu"]
    assert {name: getattr(shape, name) for name in vision} == vision
    assert shape.width // shape.heads == 64


def test_all_tokens_are_projected_and_the_first_is_clips_own(visual):
    images = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        tokens = project_tokens(visual, images)
        own = visual(images)
    assert tokens.shape == (2, 257, 768)
    torch.testing.assert_close(tokens[:, 0], own, atol=1e-5, rtol=0)


def test_the_first_token_is_the_embedding_of_a_complete_clip():
    """open_clip's `encode_image`, of a CLIP with the same weights."""
    torch.manual_seed(0)
    text = {"context_length": 4, "vocab_size": 8, "width": 32, "heads": 2, "layers": 1}
    vision = {"image_size": 224, "layers": 2, "width": 64, "patch_size": 14}
    clip = open_clip.CLIP(768, open_clip.CLIPVisionCfg(**vision), open_clip.CLIPTextCfg(**text), quick_gelu=True).eval()
    ours = build_image_encoder({"width": 64, "layers": 2, "heads": 1})
    ours.load_state_dict(clip.visual.state_dict(), strict=True)
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(
            project_tokens(ours.eval(), images)[:, 0], clip.encode_image(images), atol=1e-5, rtol=0
        )


def test_gradients_flow_to_every_patch(visual):
    project_tokens(visual, torch.randn(1, 3, 224, 224))[0, 9].sum().backward()
    assert visual.proj.grad is not None
    assert visual.proj.grad.abs().sum() > 0
    visual.zero_grad()


@pytest.mark.parametrize("shape", [(150, 260), (333, 250), (224, 224), (500, 333)])
def test_preprocessing_is_that_of_clip(shape):
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    theirs = image_transform(224, is_train=False, mean=OPENAI_DATASET_MEAN, std=OPENAI_DATASET_STD)(
        Image.fromarray(pixels)
    )
    ours = normalise_pixels(torch.from_numpy(fit_image(pixels, Geometry.CROP))[None])[0]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_tokens_and_embedding_are_normalised(encoder, pixels):
    found = encoder.tokens(pixels, Geometry.SQUASH)
    assert found.tokens.shape == (257, 768)
    assert found.embedding.shape == (768,)
    np.testing.assert_allclose(np.linalg.norm(found.tokens, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found.embedding), 1, atol=1e-5)


def test_the_embedding_does_not_depend_on_the_geometry(encoder, pixels):
    squashed, cropped = (encoder.tokens(pixels, geometry) for geometry in (Geometry.SQUASH, Geometry.CROP))
    np.testing.assert_allclose(squashed.embedding, cropped.embedding, atol=1e-5)
    np.testing.assert_allclose(cropped.tokens[0], cropped.embedding, atol=1e-5)
    assert np.abs(squashed.tokens - cropped.tokens).max() > 1e-3


def test_batching_does_not_change_embeddings(encoder, pixels):
    pictures = [pixels, pixels[:, ::-1].copy(), pixels[:100]]
    together = encoder.token_batch(pictures, Geometry.SQUASH, batch_size=2)
    alone = np.stack([encoder.tokens(each, Geometry.SQUASH).tokens for each in pictures])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(encoder.embed(pictures, batch_size=2), encoder.embed(pictures), atol=1e-5)


def test_no_pictures_yield_no_embeddings(encoder):
    assert encoder.embed([]).shape == (0, 768)


def test_weights_round_trip_through_a_file(tmp_path, visual, pixels):
    path = tmp_path / "image_encoder.safetensors"
    rounded = {name: tensor.half().float() for name, tensor in visual.state_dict().items()}
    save_weights(
        path, rounded, Header(role="image_encoder", architecture="ViT", config=TINY, recipe="-", recipe_version=1)
    )
    same = build_image_encoder(TINY)
    same.load_state_dict(rounded)
    found = load_image_encoder(path)
    assert np.array_equal(
        found.tokens(pixels, Geometry.SQUASH).tokens, ImageEncoder(same).tokens(pixels, Geometry.SQUASH).tokens
    )
    assert not any(parameter.requires_grad for parameter in found.visual.parameters())


@pytest.mark.parametrize("change", [{"layers": 1}, {"depth": 3}])
def test_weights_that_do_not_fit_are_refused(tmp_path, visual, change):
    path = tmp_path / "image_encoder.safetensors"
    header = Header(role="image_encoder", architecture="ViT", config={**TINY, **change}, recipe="-", recipe_version=1)
    save_weights(path, visual.state_dict(), header)
    with pytest.raises(CheckpointError, match="does not match its own description"):
        load_image_encoder(path)


def test_weights_of_another_role_are_refused(tmp_path, visual):
    path = tmp_path / "tagger.safetensors"
    save_weights(
        path, visual.state_dict(), Header(role="tagger", architecture="ViT", config=TINY, recipe="-", recipe_version=1)
    )
    with pytest.raises(CheckpointError, match="expected image_encoder, got tagger"):
        load_image_encoder(path)
    with pytest.raises(CheckpointError, match="file not found:"):
        load_image_encoder(tmp_path / "none.safetensors")
