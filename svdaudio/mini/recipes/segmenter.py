"""Recipe: a small SAM 2.1 that turns a click on an animal into its mask.

Trained like SAM, with a head that predicts each proposal's IoU; but all three proposals learn, not only the best: a
click here means one animal and never a part of it, and if only the best proposal learns, the three divide the animals
among them and ignore the click. The target of a click on no animal is an empty mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from svdaudio.mini import farm
from svdaudio.mini.card import publish
from svdaudio.mini.composites import Composite, Rng, closeup, compose
from svdaudio.mini.harness import Schedule, fit
from svdaudio.mini.recipe import OF_PICTURES, PICTURES, Recipe, Training
from svdaudio.mini.truth import click
from svdaudio.models.sam2.segmenter import build_segmenter

FIRST_SHARE = 12 / 17
"""Share of the steps before the rate restarts and distractors are added."""
DISTRACTORS = 0.5
SECOND_LOOKS = (0.3, 0.7)
"""Margins of the crops for the shipped segmenter's second look, not chosen on the held-out pictures."""
N_BATCH = 8
N_PROMPTS = 3
SIZE = 256
STRIDE = 4
CONFIG: dict[str, Any] = {
    "image_size": SIZE,
    "embed_dim": 32,
    "num_heads": 1,
    "stages": [1, 2, 5, 1],
    "global_att_blocks": [5, 7],
    "fpn_top_down_levels": [0, 1, 2, 3],  # one block at stride 4 is too little to recognise an animal
    "fpn_interp_model": "bilinear",
    "d_model": 96,
    "memory_layers": 1,
    "memory_feedforward": 96,
    "memory_dim": 32,
}
PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)
"""ImageNet's, which `sam2` applies."""
OUTSIDE_SHARE = 0.07
RECIPE = Recipe(
    version=4,
    module=__name__,
    architecture="sam2.SAM2Base",
    config=CONFIG,
    n_steps=5100,
    title="Segmenter: SAM 2.1, Hiera 32 wide in 1-2-5-1 blocks, 256 px (mini)",
    data=PICTURES,
    steps_of=f"{N_BATCH} composites with {N_PROMPTS} prompts each, Muon and AdamW, bfloat16 (the video memory is as "
    "initialised: one picture needs none)",
    licence=OF_PICTURES,
    extra={"image_size": SIZE, "second_looks": SECOND_LOOKS},
)


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """Clicks on pictures and their target masks.

    Attributes:
        images: [n, 3, 256, 256], normalised as sam2 does.
        points: [n * N_PROMPTS, m, 2], x and y in pixels; the prompts of one picture follow one another.
        labels: [n * N_PROMPTS, m], 1 on the animal, 0 next to it.
        masks: [n * N_PROMPTS, 64, 64], share of each 4 x 4 cell that the animal covers.
        classes: [n, 10, 64, 64], share of each 4 x 4 cell that each class covers, the last one the background.
    """

    images: Tensor
    points: Tensor
    labels: Tensor
    masks: Tensor
    classes: Tensor


def prompt(
    rng: Rng, picture: Composite, animal: int | None, *, n_points: int
) -> tuple[list[tuple[int, int]], list[int], NDArray[np.bool_]]:
    """Points, labels and their target mask, for an animal of a picture (None: for no animal)."""
    if animal is None:
        outside = cv2.erode((picture.instances == 0).astype(np.uint8), np.ones((13, 13), np.uint8)) > 0
        if outside.any():
            points = [click(rng, outside, deep=False) for _ in range(n_points)]
            return points, [1] * n_points, np.zeros_like(outside)
    mask = picture.instances > 0 if animal is None else picture.mask(animal)
    points, labels = [click(rng, mask, deep=rng.random() < 0.5)], [1]
    for _ in range(n_points - 1):
        is_outside = bool(rng.random() < 0.5) and bool((~mask).any())
        points.append(click(rng, ~mask if is_outside else mask, deep=False))
        labels.append(int(not is_outside))
    return points, labels, mask


def prompt_targets(rng: Rng, picture: Composite) -> list[int | None]:
    """The targets of a picture's prompts: as many different animals as possible, sometimes none."""
    visible = [i for i in range(len(picture.classes)) if int(picture.mask(i).sum()) >= 60]
    order = [int(i) for i in rng.permutation(visible)]
    animals: list[int | None] = [order[i % len(order)] if order else None for i in range(N_PROMPTS)]
    return [None if rng.random() < OUTSIDE_SHARE else animal for animal in animals]


def normalise(pixels: NDArray[np.uint8]) -> Tensor:
    """[n, H, W, 3] uint8 pixels to [n, 3, H, W] standardised by ImageNet's mean and deviation."""
    scaled = (pixels.astype(np.float32) / 255 - np.array(PIXEL_MEAN, np.float32)) / np.array(PIXEL_STD, np.float32)
    return torch.from_numpy(scaled).permute(0, 3, 1, 2).contiguous()


def draw(rng: Rng, *, distractors: float = 0.0) -> Prompts:
    """A training batch; a share of its pictures has distractors."""
    n_points = int(rng.choice((1, 2, 3), p=(0.75, 0.15, 0.1)))
    pictures = [
        closeup(rng, size=SIZE)
        if rng.random() < 0.1
        else compose(rng, size=SIZE, varied_backgrounds=0.75, distractors=distractors)
        for _ in range(N_BATCH)
    ]
    prompts = [
        prompt(rng, picture, animal, n_points=n_points)
        for picture in pictures
        for animal in prompt_targets(rng, picture)
    ]
    masks = torch.from_numpy(np.stack([mask for _, _, mask in prompts])).float()
    return Prompts(
        images=normalise(np.stack([picture.pixels for picture in pictures])),
        points=torch.tensor([points for points, _, _ in prompts], dtype=torch.float32),
        labels=torch.tensor([labels for _, labels, _ in prompts], dtype=torch.int32),
        masks=functional.avg_pool2d(masks[:, None], STRIDE)[:, 0],
        classes=torch.from_numpy(np.stack([class_shares(picture) for picture in pictures])),
    )


def class_shares(picture: Composite) -> NDArray[np.float32]:
    """Share of each 4 x 4 cell that each class covers, the last one the background, [10, 64, 64]."""
    label = np.array([len(farm.CLASSES), *picture.classes])[picture.instances]
    side = SIZE // STRIDE
    shares = np.zeros((len(farm.CLASSES) + 1, side, side), np.float32)
    for index in np.unique(label):
        shares[index] = (label == index).reshape(side, STRIDE, side, STRIDE).mean(axis=(1, 3))
    return shares


def proposals(model: SAM2Base, prompts: Prompts) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Masks for every prompt as sam2's predictor makes them.

    Returns:
        Three mask logits [n, 3, 64, 64]; their predicted IoUs [n, 3]; the picture's features at strides 4, 8 and 16.
    """
    # the fused attention's backward pass is slower than plain products at this size on a CPU
    with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
        fine, middle, coarse = model.forward_image(prompts.images)["backbone_fpn"]
        coarse = coarse + model.no_mem_embed.reshape(1, -1, 1, 1)
    repeat = len(prompts.points) // len(prompts.images)
    # positions are products of coordinates with random frequencies: too coarse in half precision
    sparse, dense = model.sam_prompt_encoder(points=(prompts.points, prompts.labels), boxes=None, masks=None)
    positions = model.sam_prompt_encoder.get_dense_pe()
    with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
        masks, ious, _, _ = model.sam_mask_decoder(
            image_embeddings=coarse.repeat_interleave(repeat, 0),
            image_pe=positions,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
            repeat_image=False,
            high_res_features=[fine.repeat_interleave(repeat, 0), middle.repeat_interleave(repeat, 0)],
        )
    return masks.float(), ious.float(), [fine, middle, coarse]


class ClassHeads(nn.Module):
    """Classifies pixels from the features at each stride: an auxiliary task for the trunk, dropped after training.

    The trunk learns slowly from masks of clicks, and quickly from the class of every pixel.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        n_classes = len(farm.CLASSES) + 1
        self.heads = nn.ModuleList(nn.Conv2d(channels, n_classes, 1) for channels in (width // 8, width // 4, width))

    def forward(self, features: list[Tensor], classes: Tensor) -> Tensor:
        """Cross-entropy with the shares of the classes, mean over strides; animals weigh three times the background."""
        parts: list[Tensor] = []
        for head, feature in zip(self.heads, features, strict=True):
            shares = functional.avg_pool2d(classes, classes.shape[-1] // feature.shape[-1])
            weight = 3 - 2 * shares[:, -1]
            surprise = -(shares * functional.log_softmax(head(feature.float()), dim=1)).sum(1)
            parts.append((surprise * weight).sum() / weight.sum())
        return torch.stack(parts).mean()


def losses_of(masks: Tensor, ious: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Focal and dice loss of the proposals, and the error of their predicted IoUs."""
    true = target[:, None].expand_as(masks)
    probability = masks.sigmoid()
    focal = (
        functional.binary_cross_entropy_with_logits(masks, true, reduction="none") * (probability.detach() - true).abs()
    )
    overlap = (probability * true).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (probability.square().sum((2, 3)) + true.square().sum((2, 3)) + 1)
    with torch.no_grad():
        inside, solid = masks > 0, true > 0.5
        union = (inside | solid).sum((2, 3))
        iou = torch.where(union > 0, (inside & solid).sum((2, 3)) / union.clamp(min=1), 1.0)
    return {"focal": 20 * focal.mean(), "dice": dice.mean(), "iou": functional.mse_loss(ious, iou)}


def sharpen_attention(model: SAM2Base) -> None:
    """Initialise every attention between clicks and picture with keys equal to queries, and large weights.

    Positions of both are the same random Fourier features, so a click attends to its surroundings, and they to it,
    from the first step on. With SAM's own initialisation this takes more steps than are available here.
    """
    crossings = ("cross_attn_token_to_image", "cross_attn_image_to_token", "final_attn_token_to_image")
    with torch.no_grad():
        for name, part in model.sam_mask_decoder.transformer.named_modules():
            if name.rpartition(".")[2] in crossings:
                queries, keys = (cast("nn.Linear", part.get_submodule(side)) for side in ("q_proj", "k_proj"))
                queries.weight.mul_(3.0)
                keys.weight.copy_(queries.weight)


def train(training: Training) -> None:
    """Train, measure on held-out pictures, and write `segmenter.safetensors` and its card."""
    torch.manual_seed(training.seed)
    model = build_segmenter(CONFIG)
    freeze_memory(model)
    sharpen_attention(model)
    student = nn.ModuleDict({"model": model, "heads": ClassHeads(CONFIG["d_model"])})

    n_first = round(training.n_steps * FIRST_SHARE)

    def losses(step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        prompts = draw(rng, distractors=DISTRACTORS if step >= n_first else 0.0)
        masks, ious, features = proposals(model, prompts)
        return {**losses_of(masks, ious, prompts.masks), "classes": student["heads"](features, prompts.classes)}

    schedule = Schedule(
        n_steps=training.n_steps,
        learning_rate=1.5e-3,
        weight_decay=0.05,
        n_warmup_steps=min(60, training.n_steps // 4),
        restart_at=n_first,
    )
    attention = (model.image_encoder.trunk.blocks, model.sam_mask_decoder.transformer)
    matrices = [p for part in attention for p in part.parameters() if p.ndim == 2]
    averaged = fit(RECIPE.role, training, model=student, losses=losses, schedule=schedule, matrices=matrices)

    from svdaudio.mini import vision_evaluation

    publish(RECIPE, training, averaged["model"].state_dict(), vision_evaluation.segmenter_figures)


def freeze_memory(model: SAM2Base) -> None:
    """Exclude parts that only videos or mask prompts use from training."""
    unused = ("memory_attention", "memory_encoder", "mask_downsample", "obj_ptr_proj", "obj_ptr_tpos_proj")
    unused += (
        "sam_prompt_encoder.mask_downscaling",
        "maskmem_tpos_enc",
        "no_mem_pos_enc",
        "no_obj_ptr",
        "no_obj_embed_spatial",
    )
    for name, parameter in model.named_parameters():
        if any(name == part or name.startswith(f"{part}.") for part in unused):
            parameter.requires_grad_(False)
