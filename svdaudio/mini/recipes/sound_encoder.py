"""The sound encoder: embeds a sound close to the guide's embeddings of pictures and words of the same animals.

Uses the published losses (sound to text, and sound to its own augmentation) and the loss with pictures, which the
publication describes but its code lacks, with three corrections: the scale is 1/0.07, targets are soft because pairs of
a batch share animals, and the spectrogram keeps the level.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from svdaudio.figures import Figure, at_least, mean_figure
from svdaudio.mini import farm, soundscapes
from svdaudio.mini.card import publish
from svdaudio.mini.composites import compose
from svdaudio.mini.harness import Schedule, fit, made_once
from svdaudio.mini.recipe import OF_BOTH, PICTURES, SOUNDS, Recipe, Training
from svdaudio.mini.truth import text_vectors
from svdaudio.models.clip.encoder import load_image_encoder
from svdaudio.models.resnet import initialise
from svdaudio.models.sound_clip import spectrogram
from svdaudio.models.sound_clip.encoder import SoundEncoderNetwork, load_sound_encoder
from svdaudio.pretraining.losses import contrastive, soft_targets
from svdaudio.pretraining.spec_augment import mask_spectrogram

CONFIG: dict[str, Any] = {"widths": [16, 32, 64, 128], "n_dims": 768}
N_BATCH = 16
DURATIONS_S = (3.0, 5.0, 10.0)
RATES_HZ = (16_000, 22_050, 44_100)
"""Sample rates of soundscapes, so that only some sounds have content above 8 kHz."""
TEMPERATURE = 0.07
QUIETEST_DB = -30.0
N_PICTURES_EACH = 8
"""Pictures of each set of animals."""
SETS = tuple(animals for n in (1, 2, 3) for animals in itertools.combinations(range(len(farm.CLASSES)), n))
HELD_OUT_SEED = 959_001
RECIPE = Recipe(
    version=1,
    module=__name__,
    architecture="svdaudio.models.sound_clip.SoundEncoderNetwork",
    config=CONFIG,
    n_steps=3000,
    title="Sound encoder: a sound to the guide's space of pictures and words (mini)",
    data=f"{SOUNDS} {PICTURES} One to three animals at 3 to 10 s, at three sample rates, up to 30 dB softer than full.",
    steps_of=(
        "16 soundscapes, two views each, the second with SpecAugment: soft contrastive losses with words, with "
        "pictures and between the views at scale 1/0.07, AdamW, bfloat16"
    ),
    licence=OF_BOTH,
    extra={"preset": "corrected", "classes": list(farm.CLASSES)},
)


def draw(rng: np.random.Generator, animals: tuple[int, ...], *, duration_s: float) -> tuple[Tensor, Tensor]:
    """A soundscape of these animals at 44.1 kHz [n], and their shares [9]."""
    rate_hz = int(rng.choice(RATES_HZ))
    scene = soundscapes.compose(rng, classes=animals, duration_s=duration_s, sample_rate_hz=rate_hz)
    gain = np.float32(10 ** (rng.uniform(QUIETEST_DB, 0) / 20))
    return spectrogram.at_rate(scene.waveform * gain, rate_hz), torch.from_numpy(scene.shares)


def train(training: Training) -> None:
    """Train, measure on held-out soundscapes, and write weights and card."""
    torch.manual_seed(training.seed)
    model = SoundEncoderNetwork(**CONFIG)
    initialise(model.feature_extractor)
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - bfloat16 is faster in this format
    words = text_vectors()[: len(farm.CLASSES)]
    training.folder.mkdir(parents=True, exist_ok=True)
    encoder = training.needed("image_encoder")
    pictures = made_once(training.folder, "pictures", lambda: _pictures(encoder, training.seed), weights=encoder)

    def losses(_step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        chosen = [int(i) for i in rng.integers(len(SETS), size=N_BATCH)]
        duration_s = float(rng.choice(DURATIONS_S))
        drawn = [draw(rng, SETS[i], duration_s=duration_s) for i in chosen]
        n_samples = min(len(waveform) for waveform, _ in drawn)  # rates round differently
        waveforms = torch.stack([waveform[:n_samples] for waveform, _ in drawn])
        shares = torch.stack([share for _, share in drawn])
        images = spectrogram.mel_images(waveforms, place="random", random=rng)
        hidden = [mask_spectrogram(image, rng, rounds=2, columns=0.15, rows=0.3) for image in images.numpy()]
        both = torch.cat([images, torch.from_numpy(np.stack(hidden))])
        with torch.autocast("cpu", torch.bfloat16):
            embeddings = model(both.contiguous(memory_format=torch.channels_last))
        embeddings = functional.normalize(embeddings.float(), dim=1)
        first, second = embeddings.chunk(2)
        seen = pictures["embedding"][
            torch.tensor(chosen), torch.from_numpy(rng.integers(N_PICTURES_EACH, size=N_BATCH))
        ]
        mixed = functional.normalize(shares @ words, dim=1)
        targets = soft_targets(mixed @ mixed.T, temperature=TEMPERATURE)
        named = (shares / shares.sum(dim=1, keepdim=True)).repeat(2, 1)
        return {
            "words": functional.cross_entropy(embeddings @ words.T / TEMPERATURE, named),
            "pictures": contrastive(first, seen, scale=1 / TEMPERATURE, targets=targets),
            "views": contrastive(first, second, scale=1 / TEMPERATURE, targets=targets),
            "cosine": 10 * (1 - (embeddings * mixed.repeat(2, 1)).sum(dim=1)).mean(),
        }

    schedule = Schedule(n_steps=training.n_steps, learning_rate=2e-3, weight_decay=0.05, n_warmup_steps=100)
    model = fit(RECIPE.role, training, model=model, losses=losses, schedule=schedule)
    publish(RECIPE, training, model.state_dict(), figures)


def _pictures(encoder: Path, seed: int) -> Iterator[dict[str, Tensor]]:
    """For each of `SETS` the embeddings of several composites, [`N_PICTURES_EACH`, 768]."""
    loaded = load_image_encoder(encoder)
    for index, animals in enumerate(SETS):
        rng = np.random.default_rng((seed, 83, index))
        composites = [compose(rng, size=224, classes=animals, varied_backgrounds=0.5) for _ in range(N_PICTURES_EACH)]
        yield {"embedding": torch.from_numpy(loaded.embed([one.pixels for one in composites]))}


def figures(path: Path, *, n_sounds: int = 180) -> tuple[Figure, ...]:
    """Zero-shot figures among nine words, on held-out soundscapes of one and two animals, and the margin."""
    encoder = load_sound_encoder(path)
    words = text_vectors()[: len(farm.CLASSES)].numpy()
    n_classes = len(farm.CLASSES)
    pairs = tuple(itertools.combinations(range(n_classes), 2))

    def cosines(animals: tuple[int, ...], index: int) -> Float[np.ndarray, "9"]:
        waveform, _ = draw(np.random.default_rng((HELD_OUT_SEED, len(animals), index)), animals, duration_s=10.0)
        image = spectrogram.mel_image(waveform.numpy(), spectrogram.SAMPLE_RATE_HZ, place="centre")
        return words @ encoder.embed(image[None])[0]

    one = [cosines((i % n_classes,), i) for i in range(n_sounds)]
    two = [cosines(pairs[i % len(pairs)], i) for i in range(n_sounds)]
    right = [float(found.argmax() == i % n_classes) for i, found in enumerate(one)]
    both = [float(set(found.argsort()[-2:]) == set(pairs[i % len(pairs)])) for i, found in enumerate(two)]
    apart = [float(found[i % n_classes] - np.delete(found, i % n_classes).max()) for i, found in enumerate(one)]
    return (
        mean_figure("one animal: nearest word is its name", right, goal=at_least(0.97)),
        mean_figure("two animals: the two nearest words are their names", both, goal=at_least(0.90)),
        mean_figure("one animal: cosine with its name, above the nearest other", apart, goal=at_least(0.3)),
    )
