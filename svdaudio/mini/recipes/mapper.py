"""Mapper-mini: maps CLIP-mini's embedding of a picture to CLAP-mini's embedding of its sound by a small MLP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from svdaudio.figures import Figure, mean_figure
from svdaudio.mini import farm
from svdaudio.mini.card import publish
from svdaudio.mini.harness import Schedule, fit, made_once
from svdaudio.mini.recipe import OF_BOTH, PICTURES, SOUNDS, Recipe, Training
from svdaudio.mini.recipes.ciap_image_encoder import draw, embed_sounds, sound_of
from svdaudio.mini.vision_evaluation import held_out_classes
from svdaudio.models.clip.encoder import ImageEncoder, load_image_encoder
from svdaudio.models.mapper import MapperNetwork, load_mapper
from svdaudio.models.mel_cnn.loaders import MiniAudioEncoder, load_audio_encoder

CONFIG: dict[str, Any] = {"n_in": 768, "n_hidden": 512, "n_out": 512}
N_BATCH = 128
N_PICTURES = 4000
HELD_OUT_SEED = 961_001
RECIPE = Recipe(
    version=1,
    module=__name__,
    architecture="svdaudio.models.mapper.MapperNetwork",
    config=CONFIG,
    n_steps=2000,
    title="Mapper: CLIP-mini's embedding of a picture to CLAP-mini's of its sound (mini)",
    data=f"{PICTURES} {SOUNDS} {N_PICTURES} pictures of one to three animals with a soundscape each.",
    steps_of="128 pairs of embeddings, cosine distance, AdamW",
    licence=OF_BOTH,
)


def train(training: Training) -> None:
    """Train, measure on held-out pictures, and write weights and card."""
    torch.manual_seed(training.seed)
    model = MapperNetwork(**CONFIG)
    clip, clap = (training.needed(role) for role in ("image_encoder", "audio_encoder"))
    encoder, audio = load_image_encoder(clip), load_audio_encoder(clap)
    training.folder.mkdir(parents=True, exist_ok=True)
    pairs = made_once(training.folder, "mapped", lambda: _pairs(encoder, audio, training.seed), weights=clip)

    def losses(_step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        chosen = torch.from_numpy(rng.integers(N_PICTURES, size=N_BATCH))
        cosines = (model(pairs["clip"][chosen]) * pairs["clap"][chosen]).sum(dim=1)
        return {"cosine": (1 - cosines).mean()}

    schedule = Schedule(n_steps=training.n_steps, learning_rate=1e-3, n_warmup_steps=50)
    model = fit(RECIPE.role, training, model=model, losses=losses, schedule=schedule)
    publish(RECIPE, training, model.state_dict(), lambda path: figures(path, encoder, audio))


def _pairs(encoder: ImageEncoder, audio: MiniAudioEncoder, seed: int) -> Iterator[dict[str, Tensor]]:
    """Embeddings of pictures and of their sounds."""
    for index in range(N_PICTURES):
        rng = np.random.default_rng((seed, 89, index))
        picture = draw(rng)
        clap = embed_sounds(audio, [sound_of(rng, picture)])[0]
        yield {"clip": torch.from_numpy(encoder.embed([picture.pixels])[0]), "clap": clap}


def figures(path: Path, encoder: ImageEncoder, audio: MiniAudioEncoder, *, n_pictures: int = 90) -> tuple[Figure, ...]:
    """Similarity to the embedding of the sound, for held-out pictures of one animal and of two."""
    mapper = load_mapper(path)
    rng = np.random.default_rng(HELD_OUT_SEED)
    n_classes = len(farm.CLASSES)
    found: list[Figure] = []
    for words, more in (("one animal", 0), ("two animals", 1)):
        cosines: list[float] = []
        for i in range(n_pictures):
            animals = [i % n_classes, (i + 1 + i // n_classes % (n_classes - 1)) % n_classes][: 1 + more]
            picture = held_out_classes(i, classes=animals, size=448)
            heard = embed_sounds(audio, [sound_of(rng, picture)])[0].numpy()
            cosines.append(float(mapper.map(encoder.embed([picture.pixels])[0]) @ heard))
        found.append(mean_figure(f"{words}: cosine with the sound's", cosines))
    return tuple(found)
