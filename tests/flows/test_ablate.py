"""`svdaudio ablate`, with toy models: one edit and one mute."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from toy_method import install, unit

from svdaudio.methods.stages import CROP, EMBED
from svdaudio.studies.ablation import FADE, FOUR_WAY, PARTS, SETTINGS, WITH_SOUND

DOG_STAYS = 3
"""A seed of scenes in which a cat becomes a duck and a dog stays: the three classes of the toy."""
ONE = ["ablate", "--only", "cat-duck", "--scenes", DOG_STAYS, "--out", "out"]


def embed(*, pixels, image_encoder):
    return {"embedding": unit(np.random.default_rng(int(pixels.sum())).standard_normal(768))}


def crop(*, pixels, mask, image_encoder):
    embedding = embed(pixels=pixels[mask], image_encoder=image_encoder)["embedding"]
    return {"embedding": embedding, "embeddings": embedding[None]}


@pytest.fixture(autouse=True)
def toy(monkeypatch, tmp_path):
    """The toy method, with bodies for the other forms."""
    install(monkeypatch, tmp_path)
    for stage, body in ((EMBED, embed), (CROP, crop)):
        monkeypatch.setitem(sys.modules, stage.body.partition(":")[0], SimpleNamespace(run=body))


def test_embeddings_only_generates_no_sound(cli, tmp_path):
    result = cli(*ONE, "--embeddings-only", "--json")
    assert result.code == 0, result.err
    found = result.json()
    assert (found["edits"], found["mutes"], found["figures"]["parts"]) == (1, 0, {})
    settings = found["figures"]["settings"]
    assert settings.keys() >= {one.name for one in SETTINGS}
    assert len(settings[FOUR_WAY]["embeddings"]) == 5
    assert len(settings[FADE]["embeddings"]) == 1
    with (tmp_path / "out" / "runs.csv").open(newline="") as file:
        assert all(not row.get("manipulated.wav") for row in csv.DictReader(file))
    page = Path(found["files"]["tables"]).read_text()
    assert page.startswith("`svdaudio ablate --only cat-duck --embeddings-only --scenes 3`: 1 edits, bundle mini")


def test_a_parameter_that_the_ablation_sets_is_refused(cli, tmp_path):
    result = cli(*ONE, "--set", "svd.k=3")
    assert (result.code, result.out) == (2, "")
    assert "the ablation sets svd.k itself: expected its default 5, got 3" in result.err
    assert not (tmp_path / "store" / "runs").exists()


def test_an_interrupted_ablation_is_resumed_and_writes_its_files(cli, monkeypatch, tmp_path):
    def interrupted(**arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "svdaudio.tasks.synthesis.diffuse_each", SimpleNamespace(run=interrupted))
        assert cli(*ONE).code == 130
    assert not (tmp_path / "out" / "ablation.csv").exists()
    result = cli("resume", "--json")
    assert result.code == 0, result.err
    found = result.json()
    assert (found["edits"], found["mutes"], len(found["figures"]["parts"])) == (1, 1, len(PARTS))
    assert found["figures"]["settings"][FADE].keys() == {"embeddings", "edits", "mutes"}
    expected = {
        "every case": "ablation.csv", "tables": "ablation.md", "page": "ablation.html", "every run": "runs.csv"
    }  # fmt: skip
    assert found["files"] == {what: str(tmp_path / "out" / name) for what, name in expected.items()}
    assert all(Path(path).is_file() for path in found["files"].values())
    with (tmp_path / "out" / "runs.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2 * len(WITH_SOUND)
