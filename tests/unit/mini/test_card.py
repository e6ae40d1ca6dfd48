"""Model cards: their content, and replacing their figures."""

from __future__ import annotations

import json

import pytest
import torch

from svdaudio.errors import CheckpointError
from svdaudio.figures import at_least, mean_figure
from svdaudio.mini import card
from svdaudio.mini.recipe import OF_SOUNDS, SOUNDS, Recipe, Training
from svdaudio.weights.own import Header, load_weights

TOY = Recipe(
    version=2, module="recipes.toy", architecture="nn.Linear", config={"width": 3}, n_steps=50,
    title="Toy", data=SOUNDS, steps_of="4 sounds, AdamW", licence=OF_SOUNDS, extra={"names": ["a"]},
)  # fmt: skip


def figures(value):
    return [mean_figure("how near", [value, value], goal=at_least(0.9))]


@pytest.fixture
def published(tmp_path):
    """A folder with weights and their card."""
    (tmp_path / "toy.log").write_text(
        json.dumps({"step": 1, "seconds": 60}) + "\n" + json.dumps({"seconds": 420}) + "\n"
    )
    training = Training(folder=tmp_path, out=tmp_path, seed=7, n_steps=40)
    card.publish(TOY, training, {"weight": torch.ones(3)}, lambda _: figures(0.5))
    return tmp_path


def test_a_card_states_data_recipe_duration_figures_and_licence(published):
    text = (published / "toy.md").read_text()
    assert text.startswith("# Toy\n")
    assert "`svdaudio train toy`, recipe version 2, seed 7: 40 steps of 4 sounds, AdamW. 7 minutes on one core" in text
    assert '`nn.Linear`, `{"width": 3}`' in text
    assert "| how near | 0.500 [0.500, 0.500] | 2 | ≥ 0.90 |" in text
    assert "GPL-3.0-or-later" in text
    assert load_weights(published / "toy.safetensors", role="toy")[1] == Header(
        role="toy", architecture="nn.Linear", config={"width": 3}, recipe="recipes.toy", recipe_version=2,
        extra={"names": ["a"], "seed": 7},
    )  # fmt: skip


def test_rewriting_a_card_replaces_only_its_figures(published):
    path = published / "toy.md"
    before = path.read_text()
    card.rewrite(path, figures(0.25))
    assert path.read_text() == before.replace("0.500", "0.250")
    card.rewrite(path, figures(0.5))
    assert path.read_text() == before


def test_invalid_cards_are_refused(tmp_path):
    (tmp_path / "toy.md").write_text("# Toy\n")
    for name in ("toy.md", "none.md"):
        with pytest.raises(CheckpointError, match="is not a valid model card"):
            card.rewrite(tmp_path / name, figures(0.5))
