"""Recipe: a small CLIP image tower whose patch tokens encode what their patch shows.

Every token, once projected and normalised, is compared with one text vector per class (and one for the background)
as CLIP compares images and texts. Patch tokens are trained towards what covers their patch, CLS towards the mixture of
the animals that are in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from open_clip.transformer import VisionTransformer
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from svdaudio.mini import farm
from svdaudio.mini.card import publish
from svdaudio.mini.composites import Composite, Rng, closeup, compose
from svdaudio.mini.harness import Schedule, fit
from svdaudio.mini.recipe import OF_PICTURES, PICTURES, Recipe, Training
from svdaudio.mini.truth import N_GRID, text_vectors
from svdaudio.models.clip.encoder import build_image_encoder, normalise_pixels

FIRST_SHARE = 5 / 6  # of the steps; then the learning rate restarts
N_BATCH = 32
SIZE = 224
N_KEPT = 96
WHOLE_SHARE = 0.06
"""Share of the steps, at the end, that use all patches."""
VARIED_BACKGROUNDS = 0.6
BACKGROUND = len(farm.CLASSES)
CONFIG: dict[str, Any] = {
    "image_size": SIZE,
    "patch_size": 14,
    "width": 192,
    "layers": 6,
    "heads": 3,
    "mlp_ratio": 4.0,
    "output_dim": 768,
    "quick_gelu": False,
}
PATCH_SCALE = 16.0
"""Sharpness of the patches' softmax over cosines."""
RECIPE = Recipe(
    version=3,
    module=__name__,
    architecture="open_clip.VisionTransformer",
    config=CONFIG,
    n_steps=6000,
    title="Image encoder: CLIP ViT, 224 px, patch 14, width 192, 6 layers, to 768 (mini)",
    data=PICTURES,
    steps_of=f"{N_BATCH} composites, Muon and AdamW, bfloat16",
    licence=OF_PICTURES,
    extra={
        "image_size": SIZE,
        "names": list(farm.CLASSES),
        "text_vectors": "sqrt(2/768) cos(3 pi (i+1) (j+1/2) / 768), row i for name i, the last row for the background",
    },
)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Pictures and the targets of the encoder.

    Attributes:
        images: [n, 3, 224, 224], normalised as CLIP does.
        coverage: [n, 256, 10], share of each patch that each class covers; the last one is the background.
        share: [n, 10], share of the picture.
    """

    images: Tensor
    coverage: Tensor
    share: Tensor


def batch_of(pictures: list[Composite]) -> Batch:
    """Stack composites of 224 px with their coverage."""
    cell, n_labels = SIZE // N_GRID, BACKGROUND + 1
    row, column = np.indices((SIZE, SIZE)) // cell
    first = (row * N_GRID + column) * n_labels
    coverage = np.empty((len(pictures), N_GRID * N_GRID, n_labels), np.float32)
    for target, picture in zip(coverage, pictures, strict=True):
        label = np.array([BACKGROUND, *picture.classes])[picture.instances]
        counts = np.bincount((first + label).ravel(), minlength=target.size)
        target[:] = counts.reshape(target.shape) / cell**2
    return Batch(
        images=normalise_pixels(torch.from_numpy(np.stack([p.pixels for p in pictures]))).contiguous(),
        coverage=torch.from_numpy(coverage),
        share=torch.from_numpy(coverage.mean(axis=1)),
    )


def draw(rng: Rng, *, backgrounds: tuple[str, ...] = farm.TRAIN_BACKGROUNDS) -> Composite:
    """A training picture: a composite, often a close-up like a detector's crop, rarely without an animal."""
    chance = rng.random()
    if chance < 0.40:
        picture = closeup(rng, size=SIZE, backgrounds=backgrounds, varied_backgrounds=VARIED_BACKGROUNDS)
    else:
        picture = compose(
            rng,
            size=SIZE,
            classes=[] if chance < 0.43 else None,
            backgrounds=backgrounds,
            varied_backgrounds=VARIED_BACKGROUNDS,
        )
    return middle(rng, picture) if rng.random() < 0.3 else picture


def middle(rng: Rng, picture: Composite) -> Composite:
    """The centre of a wide or tall picture, which CLIP's own preprocessing keeps."""
    margin = int(SIZE * rng.uniform(0.02, 0.2))
    part = slice(margin, SIZE - margin)
    window = (part, slice(None)) if rng.random() < 0.5 else (slice(None), part)
    return Composite(
        pixels=np.asarray(cv2.resize(picture.pixels[window], (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), np.uint8),
        instances=np.asarray(
            cv2.resize(picture.instances[window], (SIZE, SIZE), interpolation=cv2.INTER_NEAREST), np.uint8
        ),
        classes=picture.classes,
    )


def embedding_target(share: Tensor, texts: Tensor) -> Tensor:
    """The target of CLS, [n, 768], unit length: animals weighted by the root of their area, background a little."""
    weights = share.sqrt()
    weights = torch.cat([weights[:, :-1], 0.3 * weights[:, -1:]], dim=1)
    return functional.normalize(weights @ texts, dim=-1)


def kept_tokens(visual: VisionTransformer, images: Tensor, keep: Tensor | None) -> Tensor:
    """CLS and the patch tokens numbered `keep` [n, m] (all if None), after `ln_post` and the projection.

    Computed like in the encoder, but without the patches that are not kept (Li et al. 2023, FLIP).
    """
    x = visual.conv1(images).flatten(2).transpose(1, 2)
    x = x + visual.positional_embedding[1:]
    if keep is not None:
        x = x.gather(1, keep[..., None].expand(-1, -1, x.shape[-1]))
    first = (visual.class_embedding + visual.positional_embedding[0]).to(x.dtype).expand(len(x), 1, -1)
    x = visual.ln_pre(torch.cat([first, x], dim=1))
    return visual.ln_post(visual.transformer(x)) @ visual.proj


def losses_of(tokens: Tensor, batch: Batch, keep: Tensor | None, texts: Tensor) -> dict[str, Tensor]:
    """Patch cross-entropy over soft coverage; the distance of CLS from its mixture, and its classification loss."""
    coverage = batch.coverage
    if keep is not None:
        coverage = coverage.gather(1, keep[..., None].expand(-1, -1, coverage.shape[-1]))
    cosines = functional.normalize(tokens.float(), dim=-1) @ texts.T
    log_odds = functional.log_softmax(PATCH_SCALE * cosines[:, 1:], dim=-1)
    # animals cover a fifth of the patches: without a weight the background dominates at first
    weight = 1 + 2 * (1 - coverage[..., -1])
    patch = -((coverage * log_odds).sum(-1) * weight).sum() / weight.sum()
    target = embedding_target(batch.share, texts)
    embedding = functional.normalize(tokens[:, 0].float(), dim=-1)
    present = (batch.share[:, :-1] > 0.006).float()
    presence = functional.binary_cross_entropy_with_logits(20 * (cosines[:, 0, :-1] - 0.16), present)
    return {"patch": patch, "embedding": 2 * (1 - (embedding * target).sum(-1).mean()), "presence": presence}


def train(training: Training) -> None:
    """Train, measure on held-out pictures, and write `image_encoder.safetensors` and its card.

    Only 96 of the 256 patches are kept until the last steps, which more than halves the cost.
    """
    torch.manual_seed(training.seed)
    visual = build_image_encoder(CONFIG)
    texts = text_vectors()
    n_partial = training.n_steps * (1 - WHOLE_SHARE)

    def losses(step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        batch = batch_of([draw(rng) for _ in range(N_BATCH)])
        keep = torch.rand(N_BATCH, N_GRID**2).argsort(dim=1)[:, :N_KEPT] if step < n_partial else None
        # the fused attention's backward pass is slower than plain products at this size on a CPU
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            tokens = kept_tokens(visual, batch.images, keep)
        return losses_of(tokens, batch, keep, texts)

    schedule = Schedule(
        n_steps=training.n_steps,
        learning_rate=1.5e-3,
        weight_decay=0.05,
        n_warmup_steps=min(50, training.n_steps // 4),
        restart_at=round(training.n_steps * FIRST_SHARE),
    )
    matrices = [p for p in visual.transformer.parameters() if p.ndim == 2]
    averaged = fit(RECIPE.role, training, model=visual, losses=losses, schedule=schedule, matrices=matrices)

    from svdaudio.mini import vision_evaluation

    publish(RECIPE, training, averaged.state_dict(), vision_evaluation.image_encoder_figures)
