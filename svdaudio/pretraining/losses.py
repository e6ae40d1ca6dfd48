"""Contrastive losses between two sides of a batch of pairs, with identity or soft targets.

With few classes in a batch, many of an item's "wrong" partners belong to the same class. The published trainings push
them away anyway (`identity_targets`); soft targets are spread over all similar items (Li et al. 2021, ALBEF).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def identity_targets(n: int, device: torch.device | None = None) -> Float[Tensor, "n n"]:
    """Targets by which only an item's own partner is right."""
    return torch.eye(n, device=device)


def soft_targets(likeness: Float[Tensor, "n n"], *, temperature: float) -> Float[Tensor, "n n"]:
    """Targets spread over all partners by the similarity of the items.

    Args:
        likeness: similarity of item i to item j, a cosine, -1..1.
        temperature: above 0; small values leave only the most similar.
    """
    return (likeness / temperature).softmax(dim=1)


def contrastive(
    first: Float[Tensor, "n dim"],
    second: Float[Tensor, "n dim"],
    *,
    scale: float,
    targets: Float[Tensor, "n n"],
) -> Float[Tensor, ""]:
    """Mean cross-entropy of both directions: InfoNCE (van den Oord et al. 2018) with the given targets.

    Args:
        first: unit vectors of one side.
        second: unit vectors of the other side, in the same order.
        scale: factor of the cosines, 1/temperature: 14.29 for a temperature of 0.07.
        targets: `[i, j]` is the target probability of the second side's j for the first side's i; rows add up to 1.
    """
    logits = scale * first @ second.T
    back = targets.T / targets.sum(dim=0)[:, None]
    return 0.5 * (functional.cross_entropy(logits, targets) + functional.cross_entropy(logits.T, back))
