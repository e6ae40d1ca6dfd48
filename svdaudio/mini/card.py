"""Model cards: data, recipe, training time, figures and licence of a weight file."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from svdaudio.errors import CheckpointError
from svdaudio.figures import TABLE_HEADING, Figure, markdown_table
from svdaudio.files import write_bytes
from svdaudio.mini.catalogue import COMMANDS
from svdaudio.mini.recipe import Recipe, Training
from svdaudio.weights.own import Header, save_weights


def publish(
    recipe: Recipe,
    training: Training,
    state: Mapping[str, Tensor],
    figures: Callable[[Path], Sequence[Figure]],
    *,
    config: Mapping[str, Any] | None = None,
) -> None:
    """Write the weights of a finished training to its folder, measure them, and write their card.

    Args:
        recipe: what was trained.
        training: its folders, length and seed.
        state: the weights.
        figures: measures the weight file.
        config: configuration of the network (default the recipe's).

    Raises:
        StoreError: the files cannot be written.
    """
    header = recipe.header(training, config)
    weights = training.out / f"{recipe.role}.safetensors"
    save_weights(weights, state, header)
    text = card(recipe, training, header, figures(weights))
    write_bytes(training.out / f"{recipe.role}.md", text.encode())


def card(recipe: Recipe, training: Training, header: Header, figures: Sequence[Figure]) -> str:
    """A card, as Markdown.

    Args:
        recipe: what was trained.
        training: the folder of its log, its length and its seed.
        header: of the weights.
        figures: on held-out data.
    """
    command = COMMANDS.get(recipe.role, recipe.role)
    machine = f"{platform.machine()}, torch {torch.__version__.partition('+')[0]}"
    if recipe.n_steps:
        minutes = minutes_spent(training.folder / f"{recipe.role}.log")
        done = f": {training.n_steps} steps of {recipe.steps_of}. {minutes:.0f} minutes on one core ({machine}).\n\n"
    else:
        done = f" ({machine}). {recipe.steps_of}.\n\n"
    return (
        f"# {recipe.title}\n\n"
        f"**Data.** {recipe.data}\n\n"
        f"**Training.** `svdaudio train {command}`, recipe version {recipe.version}, seed {training.seed}{done}"
        f"**Architecture.** `{header.architecture}`, `{json.dumps(header.config)}`\n\n"
        f"{markdown_table(figures)}\n\n"
        f"**Licence.** {recipe.licence}\n"
    )


def rewrite(path: Path, figures: Sequence[Figure]) -> None:
    """Replace the table of figures in a card.

    Raises:
        CheckpointError: the card does not exist, or does not have exactly one table of figures.
        StoreError: the card cannot be written.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, heading, after = text.partition(TABLE_HEADING)
    if not heading or TABLE_HEADING in after:
        raise CheckpointError(
            f"{path} is not a valid model card", expected="one table of figures", fix="train the model again"
        )
    _, gap, rest = after.partition("\n\n")
    write_bytes(path, f"{before}{markdown_table(figures)}{gap}{rest}".encode())


def minutes_spent(log: Path) -> float:
    """Minutes that a training took, from its log, interrupted parts included."""
    return float(json.loads(log.read_text().splitlines()[-1])["seconds"]) / 60
