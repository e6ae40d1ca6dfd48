"""The bundle that a training writes: weights, model card and description."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.description import MANIFEST
from svdaudio.errors import CheckpointError, RunError
from svdaudio.files import write_bytes
from svdaudio.pretraining.card import card
from svdaudio.pretraining.checks import Checked
from svdaudio.pretraining.data_sets import Split
from svdaudio.pretraining.retrieval import Recall
from svdaudio.pretraining.settings import SoundEncoderSettings
from svdaudio.pretraining.settings_files import flat
from svdaudio.pretraining.subject import Subject
from svdaudio.pretraining.train import CHECKPOINT, Outcome
from svdaudio.studies.pretraining_state import Request
from svdaudio.weights.digests import hash_file
from svdaudio.weights.own import Header, load_weights, save_weights

TRAINING = "training"
"""Key in a weight file's `extra`: digest of what its training depended on."""
CARD = "card.md"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained bundle."""

    bundle: str
    folder: Path
    weights: Path
    card: Path
    n_items: int
    n_held_out: int
    n_left_out: int
    """Files, rows and items that were skipped because of a fault."""
    n_steps: int
    best_epoch: int | None
    figures: tuple[Recall, ...]
    was_there: bool
    """Whether it existed before."""


def find_trained(request: Request, out: Path, digest: str) -> Trained | None:
    """The requested bundle, if it has been trained; None if the name is free.

    Raises:
        RunError: the name belongs to a bundle that was not trained like this.
    """
    if not (out / MANIFEST).is_file():
        if request.name in Bundle.names():
            raise RunError(f"another bundle '{request.name}' exists", fix="choose another --name")
        return None
    path = out / f"{request.kind.role}.safetensors"
    header: Header | None = None
    with suppress(CheckpointError):
        header = load_weights(path, role=request.kind.role)[1]
    extra: Mapping[str, Any] = {} if header is None else header.extra
    if extra.get(TRAINING) != digest:
        raise RunError(
            f"another bundle '{request.name}' exists in {out}",
            expected="no bundle, or one with the same data, settings and base",
            fix="choose another --name, or remove that folder",
        )
    return Trained(
        bundle=request.name,
        folder=out,
        weights=path,
        card=out / CARD,
        n_items=extra["n_items"],
        n_held_out=extra["n_held_out"],
        n_left_out=extra["n_left_out"],
        n_steps=extra["n_steps"],
        best_epoch=extra["best_epoch"],
        figures=tuple(Recall(**one) for one in extra["figures"]),
        was_there=True,
    )


def write_bundle(
    request: Request,
    out: Path,
    subject: Subject,
    outcome: Outcome,
    data: Checked,
    split: Split,
    layout: str,
    n_bad: int,
    digest: str,
) -> None:
    """Write weights, card and description, in this order: the description makes the folder a bundle."""
    kind, settings = request.kind, request.settings
    network = subject.network
    network.load_state_dict(
        {name: value.half().float() if value.is_floating_point() else value for name, value in outcome.state.items()}
    )  # in half precision, like the file
    figures = subject.measure(network, with_intervals=True)
    preset = {"preset": settings.sound.preset} if isinstance(settings, SoundEncoderSettings) else {}
    header = Header(
        role=kind.role,
        architecture=kind.architecture,
        config=subject.config,
        recipe=f"svdaudio train {kind.command}",
        recipe_version=1,
        extra={
            **preset,
            TRAINING: digest,
            "n_items": len(data.items),
            "n_held_out": len(split.held_out),
            "n_left_out": n_bad,
            "n_steps": outcome.n_steps,
            "best_epoch": outcome.best_epoch,
            "figures": [asdict(one) for one in figures],
        },
    )
    weights = out / f"{kind.role}.safetensors"
    save_weights(weights, outcome.state, header)
    kept = (
        "the last weights" if outcome.best_epoch is None else f"the weights after epoch {outcome.best_epoch}, the best"
    )
    text = card(
        title=f"{kind.title}: {request.name}",
        command=request.command,
        data=data,
        layout=layout,
        n_bad=n_bad,
        split=split,
        settings=flat(settings),
        base=f"The {kind.frozen} of the bundle `{request.base}`.",
        trained=f"{outcome.n_steps} steps in {_minutes(request.work):.0f} minutes, {kept}",
        figures=figures,
    )
    write_bytes(out / CARD, text.encode())
    description = {
        "title": f"{kind.title} trained on {request.data.resolve().name}, with the bundle {request.base}",
        "base": request.base,
        "settings": {f"hear.{name}": value for name, value in preset.items()},
        "models": {kind.role: {"file": weights.name, "sha256": hash_file(weights), "bytes": weights.stat().st_size}},
    }
    write_bytes(out / MANIFEST, (json.dumps(description, indent=2) + "\n").encode())


def _minutes(folder: Path) -> float:
    """Duration of a training in minutes, from its log; NaN without one."""
    with suppress(OSError, ValueError, IndexError):
        return float((folder / f"{CHECKPOINT}.log.csv").read_text().splitlines()[-1].split(",")[1]) / 60
    return math.nan
