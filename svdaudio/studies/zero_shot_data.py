"""The sounds of a zero-shot evaluation: those of a published data set, or held-out soundscapes of the farm."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import soundfile

from svdaudio.errors import InputError
from svdaudio.figures import Goal, at_least
from svdaudio.files import write_bytes
from svdaudio.mini import farm
from svdaudio.mini.audio_evaluation import held_out_soundscapes
from svdaudio.pretraining.items import DataSet, Item
from svdaudio.pretraining.layouts import LAYOUTS
from svdaudio.sounds.reading import sound_facts

FARM = "farm"
N_FARM = 90
"""Soundscapes of one animal, and as many of two: ten of each animal alone."""
FARM_SEEDS = {"one": 10, "two": 11}


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a data set is evaluated."""

    measure: Literal["accuracy", "ranks"] = "accuracy"
    """Share of sounds whose nearest label is right, or mean average precision, for sounds with several labels."""
    folds: tuple[str, ...] = ()
    """Folds that are evaluated by default; all if empty."""
    goals: Mapping[str, Goal] = field(default_factory=dict[str, Goal])
    """Fold → goal of its accuracy. Folds with goals are of different kinds, and have no mean."""


PROTOCOLS: Mapping[str, Protocol] = {
    "esc50": Protocol(),
    "urbansound8k": Protocol(),
    "vggsound": Protocol(folds=("test",)),
    "audioset": Protocol(measure="ranks", folds=("eval",)),
    FARM: Protocol(goals={"one": at_least(0.97), "two": at_least(0.90)}),
}
"""Data set → protocol. Nothing is trained, so every fold is a test set."""


def read_data(dataset: str, root: Path | None, *, folder: Path, limit: int | None) -> DataSet:
    """The sounds of a data set.

    Args:
        dataset: one of `PROTOCOLS`.
        root: its folder; None for the farm, whose sounds are generated.
        folder: folder for generated sounds.
        limit: number of sounds of each kind to generate.

    Raises:
        InputError: the root is missing or does not apply, or an error of `Layout.read`.
        StoreError: sounds cannot be written.
    """
    if dataset == FARM:
        if root is not None:
            raise InputError("--root does not apply to the farm, whose sounds are generated", got=root, fix="omit it")
        return farm_data(folder, limit or N_FARM)
    layout = LAYOUTS[dataset]
    if root is None:
        raise InputError(f"no folder given for {dataset}", fix="add --root FOLDER")
    if not layout.recognises(root):
        raise InputError(f"{root} does not contain {dataset}", expected="the folder with its table", fix="check --root")
    return layout.read(root)


def farm_data(folder: Path, n: int) -> DataSet:
    """Write n soundscapes of one animal and n of two, which no model was trained on, and return their data set.

    Raises:
        StoreError: they cannot be written.
    """
    items: list[Item] = []
    for n_animals, (fold, seed) in enumerate(FARM_SEEDS.items(), 1):
        for number, scene in enumerate(held_out_soundscapes(seed, n, n_animals=n_animals)):
            name = f"{fold}-{number:03d}"
            data = io.BytesIO()
            soundfile.write(data, scene.waveform, farm.SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
            path = folder / f"{name}.wav"
            if not path.is_file() or path.read_bytes() != data.getvalue():
                write_bytes(path, data.getvalue())
            labels = tuple(animal for animal, share in zip(farm.CLASSES, scene.shares, strict=True) if share > 0)
            items.append(Item(name=name, sound=path, labels=labels, group=name, fold=fold))
    return DataSet(items=tuple(items), classes=farm.CLASSES)


def choose(data: DataSet, folds: tuple[str, ...], limit: int | None) -> tuple[Item, ...]:
    """The items of some folds, or of all if none is named; at most `limit` of them, evenly spaced.

    Raises:
        InputError: a fold is unknown.
    """
    there = list(dict.fromkeys(item.fold or "" for item in data.items))
    if missing := [name for name in folds if name not in there]:
        known = " or ".join(there)
        raise InputError(f"unknown fold '{missing[0]}'", expected=known, fix=f"add --fold {there[0]}")
    items = [item for item in data.items if not folds or item.fold in folds]
    if limit is None or limit >= len(items):
        return tuple(items)
    return tuple(items[index * len(items) // limit] for index in range(limit))


def readable(items: tuple[Item, ...]) -> tuple[list[Item], dict[str, str]]:
    """The items whose sounds can be opened, and name → reason of the others. Reads headers only.

    Raises:
        InputError: no sound can be opened.
    """
    found: list[Item] = []
    bad: dict[str, str] = {}
    for item in items:
        try:
            sound_facts(item.sound)
        except InputError as error:
            bad[item.name] = error.line()
        else:
            found.append(item)
    if not found:
        raise InputError("none of the sounds can be read", got=next(iter(bad.values()), "no sound"))
    return found, bad


def item_facts(item: Item) -> dict[str, Any]:
    """An item as the first cells of a row of a table."""
    return {
        "name": item.name,
        "file": str(item.sound),
        "fold": item.fold or "",
        "group": item.group,
        "labels": "; ".join(item.labels),
    }
