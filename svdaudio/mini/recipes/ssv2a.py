"""SSV2A-mini: maps the picture's embedding and its objects' embeddings to one CLAP embedding of the sound.

The networks are SSV2A's, narrower. They learn what the full ones learn from video: a code that pictures
and sounds share, a sound for each object, and one sound for all of them. The target loudness of an animal is half
from the global embedding and half from the objects, so that a mixed global embedding, as the method makes it,
changes the sound gradually.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor
from torch.nn import functional

from svdaudio.figures import Figure, mean_figure
from svdaudio.mini import composites, farm
from svdaudio.mini.card import publish
from svdaudio.mini.harness import Schedule, fit, made_once
from svdaudio.mini.recipe import OF_BOTH, PICTURES, Recipe, Training
from svdaudio.mini.recipes import image_encoder
from svdaudio.models.clip.encoder import ImageEncoder, load_image_encoder
from svdaudio.models.ssv2a import SSV2A, Config, MLPConfig, RemixerConfig, StylerConfig
from svdaudio.models.yolo.detector import embed_boxes
from svdaudio.svd.geometry import Geometry
from svdaudio.weights.own import load_weights

CONFIG = Config(
    manifold_dim=128,
    manifold=MLPConfig(layers=(128, 128, 128)),
    generator=MLPConfig(layers=(128, 128, 128)),
    remixer=RemixerConfig(styler=StylerConfig(embed_dim=96)),
)
N_PICTURES = 900
MOST_OBJECTS = 4
N_BATCH = 32
HELD_OUT_SEED = 950_001
SHARE_OF_OBJECTS = 0.5  # of the loudness; the rest is the global embedding's
LOG_VARIANCE = -6.0  # target of the log variances: draws differ, but not in their content
RECIPE = Recipe(
    version=1,
    module=__name__,
    architecture="svdaudio.ssv2a.SSV2A",
    config=CONFIG.to_dict(),
    n_steps=2000,
    title="SSV2A: manifold, generator and remixer, narrower (mini)",
    data=f"{PICTURES} {N_PICTURES} composites, embedded by the shipped image encoder; class vectors of CLAP-mini.",
    steps_of=f"{N_BATCH} mixtures of their embeddings, AdamW",
    licence=OF_BOTH,
)


def bank(folder: Path, out: Path, *, seed: int, n: int, backgrounds: tuple[str, ...]) -> dict[str, Tensor]:
    """Embeddings of `n` composites by the shipped image encoder, computed once and cached in `folder`.

    Returns:
        `direct` [n, 768] and its target share of each animal, `direct_says` [n, 9]; `regions` [n, 4, 768], the mean
        patch token of each animal, and `background` [n, 768]; `objects` [n, 4, 768], the embedding of each animal's
        box; `labels` [n, 4], which animal, -1 for none.
    """
    weights = out / "image_encoder.safetensors"

    def look() -> Iterator[dict[str, Tensor]]:
        encoder = load_image_encoder(weights)
        for index in track(range(n), description="pictures", transient=True):
            yield _look(encoder, np.random.default_rng((seed, 78, index)), backgrounds)

    return made_once(folder, f"pictures-{seed}-{n}", look, weights=weights)


def _look(encoder: ImageEncoder, rng: np.random.Generator, backgrounds: tuple[str, ...]) -> dict[str, Tensor]:
    """One row of the bank."""
    picture = composites.compose(rng, size=image_encoder.SIZE, backgrounds=backgrounds, invented_backgrounds=0.1)
    coverage = image_encoder.batch_of([picture]).coverage[0]
    tokens = torch.from_numpy(encoder.tokens(picture.pixels, Geometry.CROP).tokens)
    says = coverage.mean(dim=0).sqrt()
    says[-1] *= 0.3  # as in the training of the image encoder
    row = {
        "direct": tokens[0],
        "direct_says": functional.normalize(says, dim=0)[:-1],
        "background": functional.normalize(tokens[1:][coverage[:, -1] > 0.8].sum(dim=0), dim=0),
        "regions": torch.zeros(MOST_OBJECTS, tokens.shape[1]),
        "objects": torch.zeros(MOST_OBJECTS, tokens.shape[1]),
        "labels": torch.full((MOST_OBJECTS,), -1),
    }
    for index, label in enumerate(picture.classes[:MOST_OBJECTS]):
        box = picture.box(index)
        patches = coverage[:, label] > 0.5
        if box is None or not patches.any():
            continue
        jitter = rng.normal(0, 0.03, 4) * (np.array(box)[[2, 3, 2, 3]] - np.array(box)[[0, 1, 0, 1]])
        corners = np.clip(np.array(box) + jitter, 0, image_encoder.SIZE).astype(np.float32)
        row["regions"][index] = functional.normalize(tokens[1:][patches].sum(dim=0), dim=0)
        row["objects"][index] = torch.from_numpy(embed_boxes(picture.pixels, corners[None], encoder)[0])
        row["labels"][index] = label
    return row


def draw(rng: np.random.Generator, seen: dict[str, Tensor], n: int) -> tuple[Tensor, Tensor, Tensor]:
    """`n` examples of slots: clips [n, 64, 768], labels of slots 1… [n, 63] (-1 none), shares in slot 0 [n, 9].

    Slot 0 is the picture's own embedding or a mix of it with regions of this and another picture and the background;
    some examples have no objects, as if the detector found none.
    """
    n_slots = CONFIG.remixer.slot
    clips = torch.zeros(n, n_slots, CONFIG.clip_dim)
    labels = torch.full((n, n_slots - 1), -1)
    says = torch.zeros(n, len(farm.CLASSES))
    for example in range(n):
        chosen, other = (int(i) for i in rng.integers(len(seen["direct"]), size=2))
        vector, word = seen["direct"][chosen], seen["direct_says"][chosen]
        if rng.random() < 0.6:
            weight = float(rng.uniform(0.2, 1))
            vector, word = weight * vector, weight * word
            for source in (chosen, chosen, other):
                index = int(rng.integers(MOST_OBJECTS))
                label = int(seen["labels"][source, index])
                if label >= 0:
                    weight = float(rng.uniform(0, 0.8 if source == chosen else 0.4))
                    vector = vector + weight * seen["regions"][source, index]
                    word = word + weight * functional.one_hot(torch.tensor(label), len(farm.CLASSES))
            vector = vector + float(rng.uniform(0, 0.3)) * seen["background"][chosen]
            length = vector.norm()
            vector, word = vector / length, word / length
        clips[example, 0], says[example] = vector, word
        if rng.random() < 0.85:
            there = seen["labels"][chosen] >= 0
            count = int(there.sum())
            clips[example, 1 : 1 + count] = seen["objects"][chosen][there]
            labels[example, :count] = seen["labels"][chosen][there]
    return clips, labels, says


def target_claps(labels: Tensor, says: Tensor, text: Tensor) -> Tensor:
    """The target CLAP embedding, [n, 512]: half from slot 0, half from the objects."""
    counts = functional.one_hot(labels + 1, len(farm.CLASSES) + 1)[..., 1:].float().sum(dim=1).clamp(max=1)
    heard = functional.normalize(says.clamp(min=0), dim=1)
    both = SHARE_OF_OBJECTS * functional.normalize(counts, dim=1) + (1 - SHARE_OF_OBJECTS) * heard
    return functional.normalize(both @ text[:-1] + 1e-3 * text[-1], dim=1)


def train(training: Training) -> None:
    """Train on embeddings of the shipped encoders, report on held-out pictures, write weights and card."""
    torch.manual_seed(training.seed)
    seen = bank(training.folder, training.out, seed=training.seed, n=N_PICTURES, backgrounds=farm.TRAIN_BACKGROUNDS)
    text = load_weights(training.out / "audio_encoder.safetensors", role="audio_encoder")[0]["text"]
    model = SSV2A(CONFIG)

    def losses(_step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        clips, labels, says = draw(rng, seen, N_BATCH)
        whole = target_claps(labels, says, text)
        own = text[labels]  # label -1 is the last row, the empty text
        first = functional.normalize(
            functional.normalize(says.clamp(min=0), dim=1) @ text[:-1] + 1e-3 * text[-1], dim=1
        )
        slots = torch.cat([first[:, None], own], dim=1)
        n_read = 1 + int((labels >= 0).sum(dim=1).max()) + 1  # slots that are filled somewhere, and an empty one
        clip_mu, clip_log = model.encode_clips(clips[:, :n_read])
        blurred = functional.normalize(
            slots[:, :n_read] + 0.2 * torch.randn_like(slots[:, :n_read]) / slots.shape[-1] ** 0.5, dim=-1
        )
        clap_mu, clap_log = model.encode_claps(blurred)
        codes = clip_mu + (0.5 * clip_log).exp() * torch.randn_like(clip_mu)
        clap_codes = clap_mu + (0.5 * clap_log).exp() * torch.randn_like(clap_mu)
        parts = {
            "meet": 0.1 * (clip_mu - clap_mu).square().sum(dim=-1).mean(),
            "spread": _contrast(clip_mu[:, 0], clap_mu[:, 0]),
        }
        pairs = ((codes, slots[:, :n_read]), (clap_codes, slots[:, :n_read]))
        generated = [(model.generate(code), target) for code, target in pairs]
        # slots after `n_read` are zeros like the last one read, so they have its codes
        padded = torch.cat([codes, codes[:, -1:].expand(-1, clips.shape[1] - n_read, -1)], dim=1)
        cycled = torch.from_numpy(rng.random(len(clips)) < 0.5)
        again, _ = model.encode_claps(
            functional.normalize(
                whole + float(rng.uniform(0, 0.4)) * torch.randn_like(whole) / whole.shape[1] ** 0.5, dim=1
            )
        )
        zero = torch.where(cycled[:, None], again, padded[:, 0])
        remixed = model.remix(torch.cat([zero[:, None], padded[:, 1:]], dim=1), clips)
        parts["sound"] = sum((_distance(pair, target) for pair, target in generated), torch.zeros(()))
        parts["mix"] = 3 * _distance(remixed, whole)
        logs = (clip_log, clap_log, remixed[1], *(pair[1] for pair, _ in generated))
        parts["calm"] = 0.01 * torch.stack([(log - LOG_VARIANCE).square().mean() for log in logs]).sum()
        return parts

    schedule = Schedule(n_steps=training.n_steps, learning_rate=2e-3, n_warmup_steps=100, ema_decay=0.995)
    trained = fit(RECIPE.role, training, model=model, losses=losses, schedule=schedule)
    publish(RECIPE, training, trained.state_dict(), lambda _: evaluate(trained, training.folder, training.out))


def _distance(pair: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
    """One minus the cosine, and the error of the length, of a draw from (μ, log σ²)."""
    mu, log_variance = pair
    drawn = mu + (0.5 * log_variance).exp() * torch.randn_like(mu)
    return (1 - functional.cosine_similarity(drawn, target, dim=-1)).mean() + 0.5 * (drawn - target).square().sum(
        dim=-1
    ).mean()


def _contrast(a: Tensor, b: Tensor) -> Tensor:
    """Symmetric InfoNCE between paired codes."""
    logits = functional.normalize(a, dim=-1) @ functional.normalize(b, dim=-1).T * 10
    labels = torch.arange(len(a))
    return 0.1 * (functional.cross_entropy(logits, labels) + functional.cross_entropy(logits.T, labels))


@torch.no_grad()
def evaluate(model: SSV2A, folder: Path, out: Path, n: int = 100) -> tuple[Figure, ...]:
    """Held-out backgrounds and placements: cosine of the result of `cycle_mix` with the pictures' target."""
    seen = bank(folder, out, seed=HELD_OUT_SEED, n=n, backgrounds=farm.HELD_OUT_BACKGROUNDS)
    text = load_weights(out / "audio_encoder.safetensors", role="audio_encoder")[0]["text"]
    clips, labels, says = draw(np.random.default_rng(HELD_OUT_SEED), seen, n)
    generator = torch.Generator().manual_seed(HELD_OUT_SEED)
    claps = model.eval().cycle_mix(clips, its=16, samples=64, var_samples=64, generator=generator)
    target = target_claps(labels, says, text)
    loudest = (target @ text[:-1].T).argmax(dim=1)
    right = (claps @ text[:-1].T).argmax(dim=1) == loudest
    return (
        mean_figure("cosine with the wanted embedding", (claps * target).sum(dim=1).tolist()),
        mean_figure("loudest animal right", right.float().tolist()),
    )
