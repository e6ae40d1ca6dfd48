"""Both published taggers as the judges of one bundle, from made-up weights in their formats."""

from __future__ import annotations

import json

import made_up_files
import numpy as np
import pytest
import soundfile
import torch
from torchaudio.functional import resample

from svdaudio.checkpoints import install
from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.models import Models
from svdaudio.checkpoints.registry import find
from svdaudio.checkpoints.roles import LOADERS
from svdaudio.errors import InputError
from svdaudio.evaluation.judges import embed, embed_texts, hear, network_name
from svdaudio.evaluation.sounds import Source
from svdaudio.models.taggers.audioset import audioset_names, score_names

SMALL_AST = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A bundle with PANNs as its tagger and AST as its judge."""
    root = tmp_path_factory.mktemp("published")
    made_up_files.write_cnn14(root / "Cnn14_mAP=0.431.pth")
    (root / "ast").mkdir()
    torch.manual_seed(0)
    made_up_files.write_ast(root / "ast", **SMALL_AST)
    install.take(root / "Cnn14_mAP=0.431.pth", root / "full", name="panns-cnn14", trust=True)
    done = install.take(root / "ast", root / "full", name="ast-audioset", role="judge", trust=True)
    assert done.published.roles == ("judge",)
    return Bundle.open("full", root)


@pytest.fixture
def sources(tmp_path):
    """One sound at two rates, and a longer one from a run."""
    time = torch.arange(44_100 * 2) / 44_100
    tone = (0.3 * (440 * 6.2832 * time).sin() + 0.1 * (3000 * 6.2832 * time).sin())[None]
    for name, rate in (("fine", 44_100), ("coarse", 22_050)):
        soundfile.write(tmp_path / f"{name}.wav", resample(tone, 44_100, rate)[0].numpy(), rate, subtype="FLOAT")
    long = np.random.default_rng(0).normal(0, 0.1, (1, 70_000)).astype(np.float32)
    files = [Source(name=name, path=tmp_path / f"{name}.wav") for name in ("fine", "coarse")]
    return [*files, Source(name="run/mix", samples=long)]


def test_every_judge_hears_every_sound_at_its_own_rate(full, sources):
    assert full.judges == ("tagger", "judge")
    lines = []
    found = hear(full, Models(full, device="cpu"), sources, lines.append)
    assert {role: (one.network, one.logits.shape, one.embedding.shape) for role, one in found.items()} == {
        "tagger": ("PANNs", (3, 527), (3, 2048)),
        "judge": ("AST", (3, 527), (3, 32)),
    }
    assert lines[0] == "PANNs hears fine (1 of 3)"
    assert lines[-1] == "AST hears run/mix (3 of 3)"
    for one in found.values():
        assert one.classes == score_names(audioset_names())
        assert ((one.scores > 0) & (one.scores < 1)).all()
        fine, coarse, noise = (row / np.linalg.norm(row) for row in one.embedding)
        assert fine @ coarse > 0.99
        assert fine @ coarse > fine @ noise
    models = Models(full, device="cpu")
    waveform, rate_hz = sources[1].read()
    assert found["tagger"].scores[1] == pytest.approx(
        models["tagger"].scores(torch.from_numpy(waveform)[None], rate_hz)[0].numpy(), abs=1e-5
    )


def test_a_bundle_without_clap_has_no_embeddings(full, sources):
    models = Models(full, device="cpu")
    assert embed(full, models, sources, print) is None
    assert embed_texts(full, models, ["dog"]) is None


def test_the_mini_bundle_has_one_judge_and_clap(sources):
    mini = Bundle.open("mini")
    models = Models(mini, device="cpu")
    assert mini.judges == ("tagger",)
    assert mini.missing_roles == ()
    heard = hear(mini, models, sources[:1], lambda text: None)["tagger"]
    assert (heard.network, heard.logits.shape, heard.embedding.shape) == ("tagger(mini)", (1, 9), (1, 128))
    waveform, rate_hz = sources[0].read()
    scores = models["tagger"].scores(torch.from_numpy(waveform)[None], rate_hz)[0]
    assert heard.scores[0] == pytest.approx(scores.numpy(), abs=1e-6)
    clap = embed(mini, models, sources[:2], lambda text: None)
    assert clap is not None
    assert np.linalg.norm(clap, axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert network_name(mini, "audio_encoder") == "CLAP(mini)"
    texts = embed_texts(mini, models, ["dog", "cat", "dog"])
    assert texts is not None
    assert list(texts) == ["dog", "cat"]
    assert embed_texts(mini, models, []) is None


def test_only_a_tagger_can_judge(full):
    assert LOADERS["judge"].keys() == LOADERS["tagger"].keys()
    with pytest.raises(InputError, match="cannot be the judge of a bundle: expected segmenter, got judge"):
        find("sam2.1-hiera-large").filling("judge")
    assert find("ast-audioset").filling(None).roles == ("tagger",)
    description = json.loads((full.entry("tagger").path.parent / "bundle.json").read_text())
    assert description["models"]["judge"]["published"] == "ast-audioset"
