"""Recipes of the bundle for pretraining: a few steps, and their training data."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from svdaudio.mini import farm
from svdaudio.mini.composites import Composite
from svdaudio.mini.recipe import Training
from svdaudio.mini.recipes import ciap_image_encoder, guide, mapper, sound_encoder
from svdaudio.places import project_root
from svdaudio.weights.own import load_weights

MINI = project_root() / "checkpoints" / "mini"


@pytest.mark.parametrize("recipe", [ciap_image_encoder, sound_encoder, mapper, guide], ids=lambda one: one.RECIPE.role)
def test_a_recipe_is_reproducible_and_reports_its_settings(recipe, tmp_path, monkeypatch):
    fewer = "n_sounds" if recipe is sound_encoder else "n_pictures"
    monkeypatch.setattr(recipe, "figures", partial(recipe.figures, **{fewer: 2}))
    for name, value in {"N_BATCH": 4, "N_PICTURES": 6, "SETS": ((0,), (1, 2)), "N_PICTURES_EACH": 2}.items():
        monkeypatch.setattr(recipe, name, value, raising=False)
    role = recipe.RECIPE.role
    files = []
    for name in ("one", "two"):
        recipe.train(Training(folder=tmp_path / name, out=tmp_path / name / "out", seed=3, n_steps=2, base=MINI))
        files.append((tmp_path / name / "out" / f"{role}.safetensors").read_bytes())
    assert files[0] == files[1]
    _, header = load_weights(tmp_path / "one" / "out" / f"{role}.safetensors", role=role)
    assert header.role == role
    card = (tmp_path / "one" / "out" / f"{role}.md").read_text()
    assert f"`svdaudio train mini-{ {'ciap_image_encoder': 'ciap'}.get(role, role.replace('_', '-')) }`" in card
    assert "seed 3" in card
    assert ("2 steps of " in card) == (recipe is not guide)


def test_loudness_follows_the_visible_area():
    instances = np.zeros((100, 100), np.uint8)
    instances[:40, :40], instances[50:70, 50:70], instances[99, :20] = 1, 2, 3
    picture = Composite(pixels=np.zeros((100, 100, 3), np.uint8), instances=instances, classes=(3, 5, 7))
    shares = ciap_image_encoder.visible_shares(picture)
    assert shares == {3: 1.0, 5: pytest.approx(0.5)}, "hardly visible animals are not heard"
    scene = ciap_image_encoder.sound_of(np.random.default_rng(0), picture, duration_s=2.0)
    assert scene.shares.tolist() == pytest.approx([shares.get(label, 0.0) for label in range(len(farm.CLASSES))])


def test_pairs_without_an_animal_are_alike_and_unlike_the_others():
    shares = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    found = ciap_image_encoder.likeness(shares)
    assert found[0].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert float(found[2, 3]) == pytest.approx(0.5**0.5)


def test_sounds_of_every_rate_have_the_same_length():
    rng = np.random.default_rng(0)
    lengths = {len(sound_encoder.draw(rng, (0,), duration_s=1.0)[0]) for _ in range(8)}
    assert max(lengths) - min(lengths) <= 2, "up to rounding"
