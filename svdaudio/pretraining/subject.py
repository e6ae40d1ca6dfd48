"""The subject of a training: a network, its examples, its losses, and its held-out figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from svdaudio.pretraining.feed import Examples, Place
from svdaudio.pretraining.losses import identity_targets, soft_targets
from svdaudio.pretraining.ranks import Ranks
from svdaudio.pretraining.retrieval import Recall
from svdaudio.pretraining.settings import TrainSettings

Forward = Callable[[Tensor], Tensor]
"""Calls the network in the training's precision; the result is float32."""


class Subject(Examples, Protocol):
    """The network and data of a training."""

    network: nn.Module
    config: dict[str, Any]
    """Arguments that build the network."""

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the losses."""
        ...

    def losses(
        self, forward: Forward, batch: Mapping[str, Tensor], places: Sequence[Place], ranks: Ranks
    ) -> dict[str, Tensor]:
        """The terms of the loss.

        Args:
            forward: calls the network that is trained.
            batch: this process's share of the examples.
            places: epoch and item of each example in the whole batch.
            ranks: the processes that share the batch.
        """
        ...

    def measure(self, network: nn.Module, *, with_intervals: bool) -> list[Recall]:
        """Figures of a network on the held-out items; empty if nothing is held out."""
        ...


def batch_targets(
    settings: TrainSettings,
    vectors: Float[Tensor, "n dim"],
    labels: Sequence[frozenset[str]],
) -> Float[Tensor, "n n"]:
    """Targets of a batch, as the settings define them.

    Args:
        settings: of the training.
        vectors: unit vectors of the frozen side.
        labels: of the items; an item without labels is only similar to itself.
    """
    if settings.targets == "identity":
        return identity_targets(len(vectors), vectors.device)
    similarity = vectors @ vectors.T if settings.soft_by == "likeness" else label_likeness(labels).to(vectors.device)
    return soft_targets(similarity, temperature=settings.soft_temperature)


def label_likeness(labels: Sequence[frozenset[str]]) -> Float[Tensor, "n n"]:
    """Cosines of the items' labels; an item without labels is only similar to itself."""
    names = sorted(set().union(*labels))
    present = torch.tensor([[name in one for name in names] for one in labels], dtype=torch.float32)
    directions = functional.normalize(present.reshape(len(labels), len(names)), dim=1)
    return (directions @ directions.T).fill_diagonal_(1.0)
