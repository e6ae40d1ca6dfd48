"""The guide: both sides of a CLIP, in this project's own format and in OpenAI's."""

from __future__ import annotations

import made_up_files
import numpy as np
import pytest
import torch

from svdaudio.errors import CheckpointError, ConfigError
from svdaudio.models.clip import published
from svdaudio.models.clip.encoder import ImageEncoder
from svdaudio.models.clip.guide import GuideNetwork, load_guide
from svdaudio.weights.digests import hash_file
from svdaudio.weights.own import Header, save_weights

TINY = {"visual": {"width": 32, "layers": 1, "heads": 2, "image_size": 56, "output_dim": 24}, "n_texts": 2}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = GuideNetwork(**TINY)
    network.texts.copy_(torch.eye(24)[:2] * 3)
    return network.eval()


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)


def saved(path, network, **extra):
    save_weights(
        path,
        network.state_dict(),
        Header(role="guide", architecture="CLIP", config=TINY, recipe="-", recipe_version=1, extra=extra),
    )
    return path


def test_a_guide_in_this_projects_format_knows_its_texts(tmp_path, network, picture):
    guide = load_guide(saved(tmp_path / "guide.safetensors", network, classes=["cat", "dog"]))
    assert (guide.dim, guide.texts) == (24, ("cat", "dog"))
    assert np.array_equal(guide.embed_texts(["dog", "cat", "dog"]), np.eye(24, dtype=np.float32)[[1, 0, 1]])
    rounded = GuideNetwork(**TINY)
    rounded.load_state_dict({name: value.half().float() for name, value in network.state_dict().items()})
    found = guide.embed_pictures([picture, picture[::-1]])
    assert np.array_equal(found, ImageEncoder(rounded.visual).embed([picture, picture[::-1]]))
    assert guide.embed_texts([]).shape == guide.embed_pictures([]).shape == (0, 24)
    with pytest.raises(ConfigError, match="no embedding for that text: expected cat or dog, got 'owl'"):
        guide.embed_texts(["cat", "owl"])


def test_texts_without_names_are_refused(tmp_path, network):
    with pytest.raises(CheckpointError, match="does not name its texts: expected extra classes: 2 texts, got 1"):
        load_guide(saved(tmp_path / "guide.safetensors", network, classes=["cat"]))


def test_a_published_clip_knows_any_text(tmp_path, picture):
    path = tmp_path / "ViT-B-32.pt"
    made_up_files.write_clip_archive(
        path, made_up_files.clip(width=64, layers=1, text_width=64, text_layers=1, patch_size=32, dim=512)
    )
    guide = published.load_guide(path)
    assert (guide.dim, guide.texts) == (512, ())
    texts, pictures = guide.embed_texts(["thunder", "rain on a roof"]), guide.embed_pictures([picture])
    np.testing.assert_allclose(np.linalg.norm([*texts, *pictures], axis=1), 1, atol=1e-5)
    for _ in range(2):
        again = published.load_guide(path, digest=hash_file(path))
        assert np.array_equal(again.embed_texts(["thunder", "rain on a roof"]), texts)
    with pytest.raises(ConfigError, match=r"the text 'rain .*' is too long: expected at most 77 tokens, got 102"):
        guide.embed_texts(["rain " * 100])
    with pytest.raises(CheckpointError, match=r"the wrong CLIP: expected ViT-L/14: 257 tokens of 768, got 50 tokens"):
        published.load_image_encoder(path)


def test_vit_l_14_is_also_a_guide(clip_archive):
    assert published.load_guide(clip_archive).dim == 768
