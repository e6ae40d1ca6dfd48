"""The domain of the mini bundle: its recipe, and which pictures it covers."""

from __future__ import annotations

import hashlib
import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import ultralytics

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.models import Models
from svdaudio.errors import CheckpointError, InputError
from svdaudio.mini import domain_evaluation
from svdaudio.mini.manifest import describe
from svdaudio.mini.recipe import Training
from svdaudio.mini.recipes import domain as recipe
from svdaudio.places import project_root
from svdaudio.studies.scenes import demo_scene
from svdaudio.svd.images import load_image
from svdaudio.weights.own import load_weights, save_weights

MINI = project_root() / "checkpoints" / "mini"
PHOTOGRAPHS = sorted((Path(ultralytics.__file__).parent / "assets").glob("*.jpg"))


@pytest.fixture(scope="module")
def mini():
    """Domain, image encoder and detector of the shipped bundle."""
    bundle = Bundle.open("mini")
    models = Models(bundle, device="cpu", keep=True)
    return bundle.load_domain(), models["image_encoder"], models["detector"]


def test_photographs_are_flagged_and_the_example_scene_is_not(mini):
    assert {path.name for path in PHOTOGRAPHS} == {"bus.jpg", "zidane.jpg"}
    pictures = [load_image(path) for path in (*PHOTOGRAPHS, demo_scene().original, demo_scene().edited)]
    assert [bool(each) for each in domain_evaluation.flagged(*mini, pictures)] == [True, True, False, False]


def test_few_held_out_scenes_are_flagged(mini):
    (figure,) = domain_evaluation.domain_figures(*mini, n_pictures=40)
    assert (figure.n, figure.goal.bound, figure.goal.at_most) == (40, 0.05, True)
    assert figure.value <= 0.1


def test_the_recipe_is_reproducible_and_names_its_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "domain_figures", partial(recipe.domain_figures, n_pictures=1))
    files = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        for role in recipe.READS:
            shutil.copy(MINI / f"{role}.safetensors", folder)
        recipe.train(Training(folder=tmp_path, out=folder, seed=3, n_steps=3))
        files.append((folder / "domain.safetensors").read_bytes())
    assert files[0] == files[1]
    state, header = load_weights(folder / "domain.safetensors", role="domain")
    assert state["components"].shape == (3, 768)
    assert header.extra["detector"] == hashlib.sha256((MINI / "detector.safetensors").read_bytes()).hexdigest()
    assert "recipe version 1, seed 3: 3 steps of one composite" in (folder / "domain.md").read_text()


def test_a_domain_computed_with_other_weights_is_not_described(tmp_path):
    shutil.copytree(MINI, tmp_path / "mine")
    described = json.loads(describe(tmp_path / "mine")[0].read_text())
    assert described == json.loads((MINI / "bundle.json").read_text())
    state, header = load_weights(MINI / "detector.safetensors", role="detector")
    save_weights(tmp_path / "mine" / "detector.safetensors", {name: 2 * one for name, one in state.items()}, header)
    with pytest.raises(CheckpointError, match=r"was fitted with another detector.*svdaudio train domain"):
        describe(tmp_path / "mine")


def test_pictures_are_found_in_subfolders_and_other_files_are_ignored(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    shutil.copy(PHOTOGRAPHS[0], tmp_path / "a" / "b")
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    found = domain_evaluation.pictures_in(tmp_path)
    assert [path.name for path in found] == ["bus.jpg"]
    assert next(iter(found.values())).dtype == np.uint8
    with pytest.raises(InputError, match="there are no pictures in"):
        domain_evaluation.pictures_in(tmp_path / "nowhere")
