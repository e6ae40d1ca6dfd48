"""A network trained on a user's folder, and the bundle that has it on top of the one whose networks stayed frozen."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from svdaudio.checkpoints.bundle import MANIFEST, Bundle, Models, find_device
from svdaudio.errors import CheckpointError, InputError, RunError
from svdaudio.files import write_bytes
from svdaudio.places import checkpoints_folder
from svdaudio.pretraining.card import card
from svdaudio.pretraining.checks import Checked, Facts, check_items
from svdaudio.pretraining.ciap import CiapSubject, embed_sounds
from svdaudio.pretraining.data_sets import Split, find_layout, split_by_fold, split_by_group
from svdaudio.pretraining.feed import Order
from svdaudio.pretraining.initial import RANDOM
from svdaudio.pretraining.items import Fault, Item
from svdaudio.pretraining.kinds import CIAP, Kind
from svdaudio.pretraining.ranks import Ranks, joined_ranks
from svdaudio.pretraining.retrieval import Recall
from svdaudio.pretraining.settings import NOT_OF_THE_RESULT, CiapSettings, SoundEncoderSettings, TrainSettings
from svdaudio.pretraining.settings_files import flat
from svdaudio.pretraining.sound_encoder import SoundSubject, embed_with_guide
from svdaudio.pretraining.subject import Subject
from svdaudio.pretraining.train import CHECKPOINT, Outcome, train
from svdaudio.weights.digests import hash_file
from svdaudio.weights.own import Header, load_weights, save_weights

STATE = "training.json"
"""Beside a training's checkpoint: what it depends on."""
TRAINING = "training"
"""Entry of a weight file's `extra`: digest of what its training depended on."""
CARD = "card.md"


class FaultyDataError(InputError):
    """A data set with files or rows that cannot be used."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(
            f"the data set has {len(faults)} fault{'s' if len(faults) > 1 else ''}",
            fix="mend them, or go on without them with --skip-bad",
        )


@dataclass(frozen=True, kw_only=True)
class Request:
    """A training as it was asked for."""

    kind: Kind
    data: Path
    layout: str | None = None
    """None for the one that the folder has."""
    settings: TrainSettings
    base: str
    name: str
    """Of the new bundle."""
    work: Path
    """Folder for state, logs and cached embeddings."""
    device: str = "auto"
    skip_bad: bool = False
    command: str
    """For the card."""
    save_every_s: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Receives what a training reports."""

    say: Callable[[str], None]
    """A line for people."""
    progress: Callable[[str, int, int], None]
    """What is done, how many of it are done, and how many there are."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A new bundle."""

    bundle: str
    folder: Path
    weights: Path
    card: Path
    n_items: int
    n_held_out: int
    n_left_out: int
    """Files, rows and items with something wrong."""
    n_steps: int
    best_epoch: int | None
    figures: tuple[Recall, ...]
    was_there: bool
    """Whether it had been trained before."""


def pretrain(request: Request, listener: Listener) -> Trained:
    """Train a network on a folder and write it as a bundle; an interrupted training goes on.

    Raises:
        FaultyDataError: some of the data cannot be used, and it was not asked to be skipped.
        InputError: the data set cannot be read, or is too small.
        ConfigError: a setting does not fit the data, the devices or the frozen network.
        CheckpointError: the base lacks the frozen network, or a file of weights cannot be used.
        RunError: the name is that of another bundle or training.
        KeyboardInterrupt: it was asked to stop; the same request goes on.
    """
    base = Bundle.open(request.base)
    base.check(request.kind.frozen)
    device = _device(request.device)
    with joined_ranks(device) as ranks:
        if not ranks.is_first:
            listener = Listener(say=_silent, progress=_silent)
        folder = request.work
        folder.mkdir(parents=True, exist_ok=True)
        data, faults, layout = _read(request, folder, ranks, listener)
        if not data.items:
            raise InputError(f"{request.data} has no items to train on", fix="mend the data")
        listener.say(_summary(data, faults))
        settings = request.settings
        state = _identity(request, base, data)
        name_digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
        out = checkpoints_folder() / request.name
        ranks.wait()  # no process may look for the bundle after the first one has written it
        if (done := _existing(request, out, name_digest)) is not None:
            return done
        _claim(folder / STATE, state, request, ranks)
        split = (
            split_by_fold(data.items, settings.split.fold)
            if settings.split.fold
            else split_by_group(data.items, share=settings.split.held_out, seed=settings.seed)
        )
        order = Order(
            indices=split.training,
            batch=settings.batch,
            accumulate=settings.accumulate,
            epochs=settings.epochs,
            steps=settings.steps,
            seed=settings.seed,
        )
        order.check(ranks)
        subject = _subject(request, base, data, split, device, ranks, listener)
        outcome = train(
            subject,
            settings,
            order,
            folder=folder,
            device=device,
            ranks=ranks,
            on_epoch=listener.say,
            save_every_s=request.save_every_s,
        )
        if ranks.is_first:
            _write_bundle(request, out, subject, outcome, data, split, layout, len(faults), name_digest)
        ranks.wait()
        done = _existing(request, out, name_digest)
    assert done is not None, "it has just been written"
    return replace(done, was_there=False)


def _silent(*report: object) -> None:
    """Of a process that does not speak for the others."""
    del report


def _device(name: str) -> torch.device:
    """The device of this process: of several, each has a GPU of its own."""
    if name in ("auto", "cuda") and torch.cuda.is_available():
        return find_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
    return find_device(name)


def _read(request: Request, folder: Path, ranks: Ranks, listener: Listener) -> tuple[Checked, tuple[Fault, ...], str]:
    """The items that can be used, what is wrong with others, and the layout's name."""
    layout = find_layout(request.data, request.layout)
    found = layout.read(request.data)
    if found.missing:
        listener.say(f"note: {len(found.missing)} rows have no file, such as {found.missing[0]}")

    def check() -> Checked:
        return check_items(
            found.items,
            folder / "checked.json",
            needs_picture=request.kind is CIAP,
            progress=lambda n, total: listener.progress("checking files", n, total),
        )

    data = _first_then_all(check, ranks)
    faults = (*found.faults, *data.faults)
    if faults and not request.skip_bad:
        raise FaultyDataError(faults)
    return data, faults, layout.name


def _first_then_all(work: Callable[[], Any], ranks: Ranks) -> Any:
    """Do something that caches its result on disk in the first process, then in the others."""
    done = work() if ranks.is_first else None
    ranks.wait()
    return done if ranks.is_first else work()


def _summary(data: Checked, faults: Sequence[Fault]) -> str:
    groups, labels = {item.group for item in data.items}, {label for item in data.items for label in item.labels}
    left_out = f"; {len(faults)} faults, left out" if faults else ""
    return f"{len(data.items)} items, {len(groups)} groups, {len(labels)} labels{left_out}"


def _identity(request: Request, base: Bundle, data: Checked) -> dict[str, Any]:
    """All that decides the result of a training, as plain values."""
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
    """Digest of a file of first weights.

    Raises:
        CheckpointError: there is none.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}", fix="check the path in `init`")
    return hash_file(path)


def _line(item: Item, facts: Facts) -> str:
    return json.dumps([item.name, facts.sound_sha256, facts.picture_sha256, item.group, *item.labels])


def _existing(request: Request, out: Path, digest: str) -> Trained | None:
    """The bundle, if it has been trained; None if there is none of that name.

    Raises:
        RunError: a bundle of that name has not been trained like this.
    """
    if not (out / MANIFEST).is_file():
        if request.name in Bundle.names():
            raise RunError(f"there is another bundle '{request.name}'", fix="choose another --name")
        return None
    path = out / f"{request.kind.role}.safetensors"
    header: Header | None = None
    with suppress(CheckpointError):
        header = load_weights(path, role=request.kind.role)[1]
    extra: Mapping[str, Any] = {} if header is None else header.extra
    if extra.get(TRAINING) != digest:
        raise RunError(
            f"there is another bundle '{request.name}' in {out}",
            expected="none, or one with the same data, settings and base",
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


def _claim(path: Path, state: Mapping[str, Any], request: Request, ranks: Ranks) -> None:
    """Note what the training in a folder depends on, or compare it with what was noted.

    Raises:
        RunError: another training has its state there.
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
    """What two trainings differ in, in words."""
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


def _subject(
    request: Request,
    base: Bundle,
    data: Checked,
    split: Split,
    device: torch.device,
    ranks: Ranks,
    listener: Listener,
) -> Subject:
    """The network, and the frozen side's embeddings."""
    models = Models(base, device=str(device))
    digest, cache, settings = base.digests(request.kind.frozen), request.work / "frozen", request.settings

    def progress(n: int, total: int) -> None:
        listener.progress(f"embedding by the {request.kind.frozen}", n, total)

    if isinstance(settings, CiapSettings):
        heard = _first_then_all(
            lambda: embed_sounds(
                lambda: models["audio_encoder"], digest, data, settings, folder=cache, progress=progress
            ),
            ranks,
        )
        return CiapSubject(settings, data, split, heard)
    assert isinstance(settings, SoundEncoderSettings)
    guided = _first_then_all(
        lambda: embed_with_guide(models["guide"], digest, data, settings, folder=cache, progress=progress), ranks
    )
    return SoundSubject(settings, data, split, guided)


def _write_bundle(
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
    """Write weights, card and description; the description last, which makes it a bundle."""
    kind, settings = request.kind, request.settings
    network = subject.network
    network.load_state_dict(
        {name: value.half().float() if value.is_floating_point() else value for name, value in outcome.state.items()}
    )  # as the file has them
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
    """Minutes that a training took, from its log; NaN if that was removed."""
    with suppress(OSError, ValueError, IndexError):
        return float((folder / f"{CHECKPOINT}.log.csv").read_text().splitlines()[-1].split(",")[1]) / 60
    return math.nan
