"""Model cards: what a weight file is, from what, how, how long, how good, under which licence; written beside it."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from svdaudio.errors import CheckpointError
from svdaudio.files import write_bytes
from svdaudio.mini.farm import HELD_OUT_BACKGROUNDS, TRAIN_BACKGROUNDS
from svdaudio.mini.figures import TABLE_HEADING, Figure, markdown_table
from svdaudio.weights import Header, save_weights

PICTURES = (
    "Composites of the farm (`examples/farm`): nine animals, a photographed and a drawn cut-out each, at random place, "
    f"size, aspect, light and occlusion on {len(TRAIN_BACKGROUNDS)} backgrounds and invented textures. Held out: the "
    f"backgrounds {' and '.join(f'`{name}`' for name in HELD_OUT_BACKGROUNDS)}, all placements and all random choices "
    "of the pictures measured. The cut-outs themselves are the same: this model knows eighteen pictures of animals and "
    "nothing else."
)
SOUNDS = (
    "Soundscapes of the farm (`svdaudio/mini/soundscapes.py`): one recording each of nine animals, again and again, at "
    "random times, gain, speed and tilt. Held out: all random choices of the sounds measured. The recordings "
    "themselves are the same: this model knows nine recordings and nothing else."
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
class About:
    """What the card of a recipe's model says whenever it is trained."""

    title: str
    data: str
    training: str
    """What a step is, and by which optimizer."""
    licence: str


def publish(
    state: Mapping[str, Tensor],
    header: Header,
    about: About,
    figures: Callable[[Path], Sequence[Figure]],
    *,
    folder: Path,
    out: Path,
    seed: int,
    n_steps: int,
) -> None:
    """Write the weights of a finished training to `out`, measure them, and write their card beside them.

    Args:
        state: the weights.
        header: what they are.
        about: what the card says besides.
        figures: measures the weight file.
        folder: where the training's log is.
        out: where weights and card go.
        seed: of the training.
        n_steps: of the training.

    Raises:
        StoreError: the files cannot be written.
    """
    weights = out / f"{header.role}.safetensors"
    save_weights(weights, state, header)
    minutes = minutes_spent(folder / f"{header.role}.log")
    text = card(header, about, figures(weights), seed=seed, n_steps=n_steps, minutes=minutes)
    write_bytes(out / f"{header.role}.md", text.encode())


def card(
    header: Header, about: About, figures: Sequence[Figure], *, seed: int, n_steps: int, minutes: float, note: str = ""
) -> str:
    """A card, as Markdown.

    Args:
        header: what the weights are.
        about: what else there is to say.
        figures: on held-out data.
        seed: of the training.
        n_steps: of the training.
        minutes: that it took.
        note: what was different about this training.
    """
    machine = f"{platform.machine()}, torch {torch.__version__.partition('+')[0]}"
    return (
        f"# {about.title}\n\n"
        f"**Data.** {about.data}\n\n"
        f"**Training.** `svdaudio train {header.role}`, recipe version {header.recipe_version}, seed {seed}: {n_steps} "
        f"steps of {about.training}. {minutes:.0f} minutes on one core ({machine}).{' ' if note else ''}{note}\n\n"
        f"**Architecture.** `{header.architecture}`, `{json.dumps(header.config)}`\n\n"
        f"{markdown_table(figures)}\n\n"
        f"**Licence.** {about.licence}\n"
    )


def rewrite(path: Path, figures: Sequence[Figure]) -> None:
    """Put another table of figures into a card.

    Raises:
        CheckpointError: there is no card, or it has not one table of figures.
        StoreError: it cannot be written.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, heading, after = text.partition(TABLE_HEADING)
    if not heading or TABLE_HEADING in after:
        raise CheckpointError(f"{path} is no model card", expected="one table of figures", fix="train the model anew")
    _, gap, rest = after.partition("\n\n")
    write_bytes(path, f"{before}{markdown_table(figures)}{gap}{rest}".encode())


def minutes_spent(log: Path) -> float:
    """Minutes that a training took, by its log, over all that were interrupted."""
    return float(json.loads(log.read_text().splitlines()[-1])["seconds"]) / 60
