"""A requested training, and the record next to its checkpoint of what its result depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.errors import CheckpointError, RunError
from svdaudio.files import write_bytes
from svdaudio.pretraining.checks import Checked, Facts
from svdaudio.pretraining.initial import RANDOM
from svdaudio.pretraining.items import Item
from svdaudio.pretraining.kinds import Kind
from svdaudio.pretraining.ranks import Ranks
from svdaudio.pretraining.settings import NOT_OF_THE_RESULT, TrainSettings
from svdaudio.pretraining.settings_files import flat
from svdaudio.weights.digests import hash_file

STATE = "training.json"
"""File next to a training's checkpoint: what its result depends on."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A requested training."""

    kind: Kind
    data: Path
    layout: str | None = None
    """Layout of the data; None to detect it."""
    settings: TrainSettings
    base: str
    name: str
    """Name of the new bundle."""
    work: Path
    """Folder for state, logs and cached embeddings."""
    device: str = "auto"
    skip_bad: bool = False
    command: str
    """Command line, for the model card."""
    save_every_s: float = 60.0


def identity(request: Request, base: Bundle, data: Checked) -> dict[str, Any]:
    """Everything that determines the result of a training, as plain values."""
    init = request.settings.init
    settings = flat(request.settings)
    lines = [_line(item, facts) for item, facts in zip(data.items, data.facts, strict=True)]
    return {
        "kind": request.kind.command,
        "settings": {name: value for name, value in settings.items() if name not in (*NOT_OF_THE_RESULT, "init")},
        "init": RANDOM if init == RANDOM else _digest(Path(init).expanduser()),
        request.kind.frozen: base.digests(request.kind.frozen),
        "data": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    }


def _digest(path: Path) -> str:
    """Digest of a file of initial weights.

    Raises:
        CheckpointError: the file does not exist.
    """
    if not path.is_file():
        raise CheckpointError(f"file not found: {path}", fix="check the path in `init`")
    return hash_file(path)


def _line(item: Item, facts: Facts) -> str:
    return json.dumps([item.name, facts.sound_sha256, facts.picture_sha256, item.group, *item.labels])


def claim(path: Path, state: Mapping[str, Any], request: Request, ranks: Ranks) -> None:
    """Record what the training in a folder depends on, or compare it with an earlier record.

    Raises:
        RunError: the folder holds the state of another training.
    """
    with suppress(OSError, ValueError):
        noted = cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
        if noted != state:
            raise RunError(
                f"{path.parent} has the state of another training",
                got=f"another {_difference(noted, state)}",
                fix=f"choose another --name or --work, or remove that folder to train '{request.name}' again",
            )
        return
    ranks.wait()
    if ranks.is_first:
        write_bytes(path, json.dumps(state, indent=2).encode())


def _difference(noted: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """The first difference between two trainings, in words."""
    for name in state:
        if noted.get(name) == state[name]:
            continue
        if name == "settings" and isinstance(noted.get(name), dict):
            mine, theirs = state[name], noted[name]
            return next(
                (f"{one} ({theirs.get(one)}, now {mine[one]})" for one in mine if theirs.get(one) != mine[one]), name
            )
        return name
    return "version of svdaudio"
