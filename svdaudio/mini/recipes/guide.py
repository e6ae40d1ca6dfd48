"""The guide: the image encoder's picture tower, and the vectors of the nine animals' names in its space.

Nothing is trained: the image encoder was trained towards these very vectors. The file is self-contained, so that a
guide of another bundle can replace it.
"""

from __future__ import annotations

from pathlib import Path

import torch

from svdaudio.figures import Figure, mean_figure
from svdaudio.mini import farm
from svdaudio.mini.card import publish
from svdaudio.mini.recipe import OF_PICTURES, PICTURES, Recipe, Training
from svdaudio.mini.truth import text_vectors
from svdaudio.mini.vision_evaluation import held_out_classes
from svdaudio.models.clip.guide import TEXTS, load_guide
from svdaudio.weights.own import load_weights

RECIPE = Recipe(
    version=1,
    module=__name__,
    architecture="svdaudio.models.clip.GuideNetwork",
    config={},
    n_steps=0,
    title="Guide: pictures and nine words in one space (mini)",
    data=PICTURES,
    steps_of="Nothing is trained: it has the weights of the image encoder, and the vectors that it was trained towards",
    licence=OF_PICTURES,
    extra={TEXTS: list(farm.CLASSES)},
)


def train(training: Training) -> None:
    """Combine the image encoder and the vectors, measure on held-out pictures, and write weights and card."""
    state, header = load_weights(training.needed("image_encoder"), role="image_encoder")
    texts = text_vectors()[: len(farm.CLASSES)]
    publish(
        RECIPE,
        training,
        {**{f"visual.{name}": tensor for name, tensor in state.items()}, "texts": texts},
        figures,
        config={"visual": header.config, "n_texts": len(texts)},
    )


@torch.inference_mode()
def figures(path: Path, *, n_pictures: int = 180) -> tuple[Figure, ...]:
    """How often the nearest word to a held-out picture of one animal is its name, all classes in turn."""
    guide = load_guide(path)
    pictures = [held_out_classes(i, classes=[i % len(farm.CLASSES)], size=448).pixels for i in range(n_pictures)]
    nearest = (guide.embed_pictures(pictures) @ guide.embed_texts(guide.texts).T).argmax(axis=1)
    right = [float(found == i % len(farm.CLASSES)) for i, found in enumerate(nearest)]
    return (mean_figure("picture of one animal: nearest word is its name", right),)
