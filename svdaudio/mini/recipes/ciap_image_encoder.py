"""CIAP-mini: embeds a picture close to the frozen CLAP-mini's embedding of the sound of what it shows.

Picture and sound of a pair are composed together: an animal's loudness relative to the loudest one is the root of its
visible area relative to the largest one's, so an embedding encodes how much there is of each animal. With nine animals,
a third of a batch shares an animal with any picture, so targets are soft (`svdaudio.pretraining.losses`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Resampling
from torch import Tensor
from torch.nn import functional

from svdaudio.figures import Figure, at_least, mean_figure
from svdaudio.mini import farm, soundscapes
from svdaudio.mini.card import publish
from svdaudio.mini.composites import Composite, Rng, compose
from svdaudio.mini.harness import Schedule, fit
from svdaudio.mini.recipe import OF_BOTH, PICTURES, SOUNDS, Recipe, Training
from svdaudio.mini.vision_evaluation import held_out_classes
from svdaudio.mixing.erase import erase
from svdaudio.models.ciap.encoder import CiapImageEncoder, CiapNetwork, as_input, load_image_encoder, unit
from svdaudio.models.mel_cnn.loaders import MiniAudioEncoder, load_audio_encoder
from svdaudio.models.resnet import initialise
from svdaudio.pretraining.losses import contrastive, soft_targets
from svdaudio.svd.geometry import Geometry, fit_image

CONFIG: dict[str, Any] = {"widths": [32, 64, 128, 256], "image_size": 112}
N_BATCH = 32
DRAWN_PX = 224
DURATION_S = 3.84
TEMPERATURE = 0.07
LEAST_SHARE = 0.003
"""Share of the picture; an animal that covers less of it is not in the sound."""
HELD_OUT_SEED = 957_001
RECIPE = Recipe(
    version=1,
    module=__name__,
    architecture="svdaudio.models.ciap.CiapNetwork",
    config=CONFIG,
    n_steps=5000,
    title="CIAP image encoder: a picture to CLAP-mini's 512 (mini)",
    data=f"{PICTURES} {SOUNDS} One to three animals; loudness follows the root of the visible area.",
    steps_of=(
        "32 pairs of a picture (112 px) and 3.84 s of sound, contrastive loss with soft answers at temperature 0.07 "
        "and ten times the cosine distance, AdamW, bfloat16"
    ),
    licence=OF_BOTH,
)


def draw(rng: Rng) -> Composite:
    """A training picture of one to three animals; in a fifth of them, one animal is erased, as fading out does."""
    picture = compose(
        rng,
        size=DRAWN_PX,
        n_animals=int(rng.choice(3, p=(0.45, 0.35, 0.2))) + 1,
        varied_backgrounds=0.6,
        distractors=0.3,
    )
    if rng.random() > 0.2:
        return picture
    gone = int(rng.integers(len(picture.classes)))
    mask = picture.mask(gone)
    if not mask.any():
        return picture
    return Composite(
        pixels=erase(picture.pixels, mask, rng.uniform(0, 0.04)),
        instances=np.where(mask, 0, picture.instances).astype(np.uint8),
        classes=picture.classes,
    )


def visible_shares(picture: Composite) -> dict[int, float]:
    """Class of each visible animal → the root of its visible area relative to the largest one's."""
    areas: dict[int, float] = {}
    for index, label in enumerate(picture.classes):
        area = float(picture.mask(index).mean())
        if area >= LEAST_SHARE:
            areas[label] = areas.get(label, 0.0) + area
    return {label: float(np.sqrt(area / max(areas.values()))) for label, area in areas.items()}


def sound_of(rng: Rng, picture: Composite, *, duration_s: float = DURATION_S) -> soundscapes.Soundscape:
    """A soundscape of what a picture shows."""
    shares = visible_shares(picture)
    return soundscapes.compose(rng, duration_s=duration_s, classes=list(shares), given_shares=list(shares.values()))


def likeness(shares: Float[Tensor, "n class"]) -> Float[Tensor, "n n"]:
    """Cosines between the contents of pairs; pairs without an animal are alike."""
    with_none = torch.cat([shares, (shares.sum(dim=1, keepdim=True) == 0).float()], dim=1)
    directions = functional.normalize(with_none, dim=1)
    return directions @ directions.T


def train(training: Training) -> None:
    """Train, measure on held-out pictures and sounds, and write weights and card."""
    torch.manual_seed(training.seed)
    model = CiapNetwork(**CONFIG)
    initialise(model.backbone)
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - bfloat16 is faster in this format
    audio = load_audio_encoder(training.needed("audio_encoder"))

    def losses(_step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        pictures = [draw(rng) for _ in range(N_BATCH)]
        scenes = [sound_of(rng, picture) for picture in pictures]
        squares = np.stack(
            [fit_image(p.pixels, Geometry.SQUASH, CONFIG["image_size"], Resampling.BILINEAR) for p in pictures]
        )
        with torch.autocast("cpu", torch.bfloat16):
            seen = model(as_input(squares).contiguous(memory_format=torch.channels_last))
            heard = embed_sounds(audio, scenes)
        seen, heard = unit(seen.float()), heard.float()
        shares = torch.from_numpy(np.stack([scene.shares for scene in scenes]))
        targets = soft_targets(likeness(shares), temperature=TEMPERATURE)
        return {
            "contrastive": contrastive(seen, heard, scale=1 / TEMPERATURE, targets=targets),
            "cosine": 10 * (1 - (seen * heard).sum(dim=1)).mean(),
        }

    schedule = Schedule(n_steps=training.n_steps, learning_rate=2e-3, weight_decay=0.05, n_warmup_steps=100)
    model = fit(RECIPE.role, training, model=model, losses=losses, schedule=schedule)
    publish(RECIPE, training, model.state_dict(), lambda path: figures(load_image_encoder(path), audio))


def embed_sounds(audio: MiniAudioEncoder, scenes: Sequence[soundscapes.Soundscape]) -> Float[Tensor, "n 512"]:
    """CLAP-mini's unit vectors of soundscapes of equal length."""
    waveforms = torch.from_numpy(np.stack([scene.waveform for scene in scenes]))
    return audio.embed(
        waveforms, farm.SAMPLE_RATE_HZ
    ).clone()  # a normal tensor, unlike those of inference mode, can be part of a gradient


def figures(encoder: CiapImageEncoder, audio: MiniAudioEncoder, *, n_pictures: int = 180) -> tuple[Figure, ...]:
    """Similarity of held-out pictures to their sounds, and retrieval of a sound of the same animals.

    Pictures of one animal, all classes in turn, retrieve from as many held-out sounds of one animal; the nearest one is
    right if it is of the same animal. Pictures of two retrieve from 36 sounds, one of each pair of animals.
    """
    n_classes = len(farm.CLASSES)
    ones = [held_out_classes(i, classes=[i % n_classes], size=448) for i in range(n_pictures)]
    pairs = [(a, b) for a in range(n_classes) for b in range(a)]
    twos = [held_out_classes(n_pictures + i, classes=pairs[i % len(pairs)], size=448) for i in range(n_pictures)]
    rng = np.random.default_rng(HELD_OUT_SEED)
    seen_one, seen_two = (encoder.embed([p.pixels for p in each], Geometry.SQUASH) for each in (ones, twos))
    own_one, own_two = (
        embed_sounds(audio, [sound_of(rng, picture) for picture in each]).numpy() for each in (ones, twos)
    )
    single = [soundscapes.compose(rng, classes=[i % n_classes], duration_s=DURATION_S) for i in range(n_pictures)]
    double = [soundscapes.compose(rng, classes=pair, given_shares=(1, 1), duration_s=DURATION_S) for pair in pairs]
    nearest_one = (seen_one @ embed_sounds(audio, single).numpy().T).argmax(axis=1) % n_classes
    nearest_two = (seen_two @ embed_sounds(audio, double).numpy().T).argmax(axis=1)
    right_one = nearest_one == np.arange(n_pictures) % n_classes
    right_two = nearest_two == np.arange(n_pictures) % len(pairs)
    return (
        mean_figure(
            "one animal: cosine with its sound's", (seen_one * own_one).sum(axis=1).tolist(), goal=at_least(0.93)
        ),
        mean_figure("two animals: cosine with their sound's", (seen_two * own_two).sum(axis=1).tolist()),
        mean_figure("one animal: class recall@1", right_one.astype(float).tolist(), goal=at_least(0.95)),
        mean_figure("two animals: recall@1 of 36 pairs", right_two.astype(float).tolist()),
    )
