"""AudioLDM's networks loaded through a bundle: quick copies, and imports of both formats."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from made_up import save_audioldm
from tiny_audioldm import TINY, write_tokenizer

from svdaudio.checkpoints import install, recognise
from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.roles import LOADERS
from svdaudio.checkpoints.verify import verify
from svdaudio.errors import CheckpointError
from svdaudio.models.audioldm import loaders as audioldm
from svdaudio.models.audioldm import published
from svdaudio.models.audioldm.convert import to_folder
from svdaudio.weights.quick_copy import cache_path

LOADS = {
    "diffuser": audioldm.load_diffuser,
    "autoencoder": audioldm.load_autoencoder,
    "vocoder": audioldm.load_vocoder,
    "audio_encoder": audioldm.load_audio_encoder,
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_audioldm(tmp_path_factory.mktemp("published") / "tiny.ckpt", TINY)


def state(model):
    return (model.network if hasattr(model, "network") else model).state_dict()


@pytest.mark.parametrize("role", LOADS)
def test_a_quick_copy_yields_the_same_network(role, checkpoint, monkeypatch):
    load = LOADS[role]
    wanted = state(load(checkpoint, architecture=TINY))
    assert not cache_path(checkpoint, role).exists()
    cold = state(load(checkpoint, digest="d", architecture=TINY))
    assert cache_path(checkpoint, role).is_file()
    monkeypatch.setattr(published, "open_published", lambda *given, **also: pytest.fail("it was read again"))
    warm = state(load(checkpoint, digest="d", architecture=TINY))
    for given in (cold, warm):
        assert given.keys() == wanted.keys()
        assert all(torch.equal(given[key], wanted[key]) for key in wanted)


def test_the_checkpoint_fills_four_roles(checkpoint, tmp_path):
    done = install.take(checkpoint, tmp_path / "full", trust=True)
    assert done.published.name == "audioldm-s-full-v2"
    bundle = Bundle.open("full", tmp_path)
    assert set(bundle.roles) == set(LOADS)
    for role in bundle.roles:
        assert bundle.entry(role).path.name == "audioldm-full-s-v2.ckpt"
        assert bundle.entry(role).format in LOADERS[role]


def test_the_folder_fills_three_roles(checkpoint, tmp_path):
    folder = tmp_path / "published"
    to_folder(checkpoint, folder, architecture=TINY)
    shutil.rmtree(folder / "audio_encoder")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "AudioLDMPipeline"}))
    assert recognise.recognise_format(folder) == "audioldm-diffusers"
    done = install.take(folder, tmp_path / "full", trust=True)
    assert done.published.name == "audioldm-s-full-v2-diffusers"
    bundle = Bundle.open("full", tmp_path)
    assert set(bundle.roles) == {"diffuser", "autoencoder", "vocoder"}
    entry = bundle.entry("vocoder")
    bundle.check("vocoder")
    wanted = state(audioldm.load_vocoder(folder))
    given = state(audioldm.load_vocoder(entry.path, digest=entry.sha256))
    assert all(torch.equal(given[key], wanted[key]) for key in wanted)
    assert cache_path(entry.path, "vocoder").is_file()


def test_the_text_encoder_of_the_folder_fills_its_own_role(checkpoint, tmp_path):
    folder = tmp_path / "published"
    to_folder(checkpoint, folder, architecture=TINY)
    with pytest.raises(CheckpointError, match="no tokenizer"):
        audioldm.load_text_encoder(folder)
    write_tokenizer(folder / "tokenizer")
    install.take(folder, tmp_path / "full", name="audioldm-s-full-v2-text", trust=True)
    bundle = Bundle.open("full", tmp_path)
    assert bundle.roles == ("text_encoder",)
    assert bundle.classes("text_encoder") == ()
    assert verify(bundle, "text_encoder", device=torch.device("cpu")) == "1 x 512"
    encoder = audioldm.load_text_encoder(bundle.entry("text_encoder").path)
    alone, padded = encoder.embed(["a cat"])[0], encoder.embed(["a cat", "a dog to see"])[0]
    torch.testing.assert_close(alone, padded)
    torch.testing.assert_close(encoder.embed([""])[0], encoder.embed_empty_text())
    assert not torch.allclose(*encoder.embed(["a cat", "a dog"]))
