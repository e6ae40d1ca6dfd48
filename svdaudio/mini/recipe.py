"""Recipes and trainings, and their descriptions in weights and model cards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from svdaudio.mini.farm import HELD_OUT_BACKGROUNDS, TRAIN_BACKGROUNDS
from svdaudio.weights.own import Header

PICTURES = (
    "Composites of the farm (`examples/farm`): nine animals, a photographed and a drawn cut-out each, at random place, "
    f"size, aspect, light and occlusion on {len(TRAIN_BACKGROUNDS)} backgrounds and invented textures. Held out: the "
    f"backgrounds {' and '.join(f'`{name}`' for name in HELD_OUT_BACKGROUNDS)}, all placements and all random choices "
    "of the measured pictures, but not the cut-outs: the model was trained on these eighteen pictures of animals alone."
)
SOUNDS = (
    "Soundscapes of the farm (`svdaudio/mini/soundscapes.py`): recordings of nine animals, one each, repeated at "
    "random times, gains, speeds and tilts. Held out: all random choices of the measured sounds, but not the "
    "recordings: the model was trained on these nine alone."
)
OF_PICTURES = (
    "Photographs are public domain or CC0, drawings CC BY-SA 4.0 (GCompris, Timothée Giet). The weights are "
    "CC BY-SA 4.0, and as part of this project AGPL-3.0-or-later."
)
OF_SOUNDS = (
    "The recordings are GPL-3.0-or-later (GCompris); so are the weights, and as part of this project AGPL-3.0-or-later."
)
OF_BOTH = f"{OF_PICTURES} {OF_SOUNDS}"


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training.

    Args:
        folder: of its checkpoint, log and cached data.
        out: folder for weights and card.
        seed: of every random choice.
        n_steps: number of steps.
        base: folder of the models that the recipe reads (default `out`).
    """

    folder: Path
    out: Path
    seed: int
    n_steps: int
    base: Path | None = None

    def needed(self, role: str) -> Path:
        """The weight file of a model that the recipe reads."""
        return (self.base or self.out) / f"{role}.safetensors"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A model to train, its data and its training.

    Args:
        version: raised when the recipe no longer produces the same weights.
        module: of the recipe, `__name__`; ends in the role of the model.
        architecture: the network's class.
        config: builds the network.
        n_steps: default number of steps; 0 for a recipe that combines weights without training.
        title: of the card.
        data: description of the training and evaluation data.
        steps_of: description of a step and its optimizer; without steps, a sentence on where the weights come from.
        licence: of the training data, and so of the weights.
        extra: further values for the header of the weights.
    """

    version: int
    module: str
    architecture: str
    config: Mapping[str, Any]
    n_steps: int
    title: str
    data: str
    steps_of: str
    licence: str
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def role(self) -> str:
        """The role of the model, which names its weights, card, checkpoint and log."""
        return self.module.rpartition(".")[2]

    def header(self, training: Training, config: Mapping[str, Any] | None = None) -> Header:
        """The header of this recipe's weights; `config` replaces the recipe's configuration."""
        return Header(
            role=self.role,
            architecture=self.architecture,
            config=dict(self.config if config is None else config),
            recipe=self.module,
            recipe_version=self.version,
            extra={**self.extra, "seed": training.seed},
        )
