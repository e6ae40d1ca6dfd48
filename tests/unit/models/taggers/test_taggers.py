"""PANNs' Cnn14 and the Audio Spectrogram Transformer from files in the published formats."""

from __future__ import annotations

import json
import re

import made_up_files
import pytest
import torch
from transformers import ASTFeatureExtractor, ASTForAudioClassification

from svdaudio.errors import CheckpointError
from svdaudio.mini.farm import CLASSES
from svdaudio.models.taggers import cnn14, spectrogram_transformer
from svdaudio.models.taggers.audioset import audioset_names, score_names
from svdaudio.weights.digests import hash_file
from svdaudio.weights.quick_copy import cache_path

SMALL_AST = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(scope="module")
def sound():
    """A second of two tones and noise, at 32 kHz."""
    time = torch.arange(32_000) / 32_000
    noise = torch.randn(32_000, generator=torch.Generator().manual_seed(0))
    return (0.3 * (440 * 6.2832 * time).sin() + 0.1 * (3000 * 6.2832 * time).sin() + 0.05 * noise)[None]


@pytest.fixture(scope="module")
def cnn14_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("panns") / "Cnn14_mAP=0.431.pth"
    made_up_files.write_cnn14(path)
    return path


@pytest.fixture(scope="module")
def ast_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ast")
    torch.manual_seed(0)
    made_up_files.write_ast(folder, **SMALL_AST)
    return folder


def test_audioset_classes_have_short_names():
    names = score_names(audioset_names())
    assert len(names) == len(set(names)) == 527
    assert set(CLASSES) <= set(names)
    assert audioset_names()[names.index("cow")] == "Cattle, bovinae"
    assert audioset_names()[names.index("chicken")] == "Chicken, rooster"
    assert "roaring cats (lions, tigers)" in names
    assert "inside, small room" in names
    assert not any(re.search(r"[A-Z\n]", name) for name in names)


def test_cnn14_has_the_published_size(cnn14_file):
    # 327 428 481 bytes are published, of which 15 kB are not tensors.
    n_bytes = sum(value.numel() * 4 for value in made_up_files.cnn14_state().values() if value.is_floating_point())
    assert n_bytes == 327_413_308


def test_cnn14_scores_sounds_at_any_rate(cnn14_file, sound):
    tagger = cnn14.load_tagger(cnn14_file)
    scores = tagger.scores(sound, 32_000)
    assert scores.shape == (1, 527)
    assert ((scores > 0) & (scores < 1)).all()
    assert scores.std() > 1e-3
    assert torch.equal(tagger.scores(sound, 32_000), scores)
    assert tagger.scores(sound[:, :300], 22_050).shape == (1, 527)
    both = tagger.scores(torch.cat([sound, sound.flip(1)]), 32_000)
    assert torch.allclose(both[:1], scores, atol=1e-5)


def test_cnn14_embeds_what_it_scores(cnn14_file, sound):
    tagger = cnn14.load_tagger(cnn14_file)
    heard = tagger.hear(sound, 32_000)
    assert (heard.logits.shape, heard.embedding.shape) == ((1, 527), (1, 2048))
    assert torch.allclose(heard.logits.sigmoid(), tagger.scores(sound, 32_000), atol=1e-6)
    assert heard.embedding.min() == 0  # after a ReLU
    slower = tagger.hear(sound[:, ::2], 16_000)
    assert torch.nn.functional.cosine_similarity(slower.embedding, heard.embedding).item() > 0.9


def test_an_old_cnn14_file_is_copied_once(tmp_path, cnn14_file, sound):
    path = tmp_path / "x.pth"
    made_up_files.write_cnn14(path, old_format=True)
    wanted = cnn14.load_tagger(cnn14_file, digest=hash_file(cnn14_file)).scores(sound, 32_000)
    assert not cache_path(cnn14_file, "tagger").exists()
    for _ in range(2):
        assert torch.equal(cnn14.load_tagger(path, digest="d").scores(sound, 32_000), wanted)
    assert cache_path(path, "tagger").exists()


def test_another_tagger_is_refused(tmp_path):
    torch.save({"model": {"conv": torch.ones(1)}}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="lacks entry"):
        cnn14.load_tagger(tmp_path / "x.pth")
    torch.save({"state": 1}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="not a PANNs checkpoint"):
        cnn14.load_tagger(tmp_path / "x.pth")


def test_the_transformer_agrees_with_the_transformers_package(ast_folder, sound):
    tagger = spectrogram_transformer.load_tagger(ast_folder)
    sound = sound[:, ::2]
    given = ASTFeatureExtractor.from_pretrained(ast_folder)(sound[0].numpy(), sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        wanted = ASTForAudioClassification.from_pretrained(ast_folder).eval()(**given).logits.sigmoid()
    assert torch.allclose(tagger.scores(sound, 16_000), wanted, atol=1e-6)
    assert tagger.classes == score_names(audioset_names())
    heard = tagger.hear(sound, 16_000)
    assert torch.allclose(heard.logits.sigmoid(), wanted, atol=1e-6)
    assert heard.embedding.shape == (1, SMALL_AST["hidden_size"])


def test_the_transformer_is_loaded_strictly(ast_folder, tmp_path):
    from safetensors.torch import load_file, save_file

    for path in ast_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    state = load_file(ast_folder / "model.safetensors")
    save_file({**state, "extra": torch.ones(1)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="unknown entry extra"):
        spectrogram_transformer.load_tagger(tmp_path)
    first = min(state)
    save_file({k: v for k, v in state.items() if k != first}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="lacks entry"):
        spectrogram_transformer.load_tagger(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"file not found: .*model.safetensors"):
        spectrogram_transformer.load_tagger(tmp_path)


def test_a_configuration_of_another_network(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        spectrogram_transformer.read_classes(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "id2label": {}}))
    with pytest.raises(CheckpointError, match="of another kind: expected audio-spectrogram-transformer, got bert"):
        spectrogram_transformer.read_classes(tmp_path)
