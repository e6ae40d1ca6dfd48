"""Contrastive losses between two sides of a batch of pairs, with one right answer for each item or a soft choice.

With few classes in a batch, many of an item's "wrong" partners are of its own class. The published trainings push them
away all the same (`identity_targets`); soft targets share the answer among all that are alike (Li et al. 2021, ALBEF).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def identity_targets(n: int, device: torch.device | None = None) -> Float[Tensor, "n n"]:
    """Each item's own partner is right and every other one is wrong."""
    return torch.eye(n, device=device)


def soft_targets(likeness: Float[Tensor, "n n"], *, temperature: float) -> Float[Tensor, "n n"]:
    """Shares of each row's answer among all partners, from the likeness of what the items contain.

    Args:
        likeness: of item i to item j, -1..1: a cosine.
        temperature: above 0; small values leave the most alike only.
    """
    return (likeness / temperature).softmax(dim=1)


def contrastive(
    first: Float[Tensor, "n dim"],
    second: Float[Tensor, "n dim"],
    *,
    scale: float,
    targets: Float[Tensor, "n n"],
) -> Float[Tensor, ""]:
    """Mean cross-entropy of both directions: InfoNCE (van den Oord et al. 2018) with the given answers.

    Args:
        first: unit vectors of one side.
        second: unit vectors of the other side, in the same order.
        scale: by which cosines are multiplied, 1/temperature: 14.29 for a temperature of 0.07.
        targets: rows add up to 1; `[i, j]` is the share of the second side's j in the answer to the first side's i.
    """
    logits = scale * first @ second.T
    back = targets.T / targets.sum(dim=0)[:, None]
    return 0.5 * (functional.cross_entropy(logits, targets) + functional.cross_entropy(logits.T, back))
