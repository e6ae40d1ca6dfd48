"""Train a network on a user's folder, and write a bundle with it on top of the bundle of the frozen networks."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.models import Models, find_device
from svdaudio.errors import InputError
from svdaudio.places import checkpoints_folder
from svdaudio.pretraining.checks import Checked, check_items
from svdaudio.pretraining.ciap import CiapSubject, embed_sounds
from svdaudio.pretraining.data_sets import Split, find_layout, split_by_fold, split_by_group
from svdaudio.pretraining.feed import Order
from svdaudio.pretraining.items import Fault
from svdaudio.pretraining.kinds import CIAP
from svdaudio.pretraining.ranks import Ranks, joined_ranks
from svdaudio.pretraining.settings import CiapSettings, SoundEncoderSettings
from svdaudio.pretraining.sound_encoder import SoundSubject, embed_with_guide
from svdaudio.pretraining.subject import Subject
from svdaudio.pretraining.train import train
from svdaudio.studies.pretraining_bundle import Trained, find_trained, write_bundle
from svdaudio.studies.pretraining_state import STATE, Request, claim, identity


class FaultyDataError(InputError):
    """The data set has files or rows that cannot be used."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(
            f"the data set has {len(faults)} fault{'s' if len(faults) > 1 else ''}",
            fix="correct them, or skip them with --skip-bad",
        )


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Receives what a training reports."""

    say: Callable[[str], None]
    """Receives a line of text."""
    progress: Callable[[str, int, int], None]
    """Receives the name of a task, the number of items that are done, and their total."""


def pretrain(request: Request, listener: Listener) -> Trained:
    """Train a network on a folder and write it as a bundle; an interrupted training resumes.

    Raises:
        FaultyDataError: some of the data cannot be used, and `skip_bad` is not set.
        InputError: the data set cannot be read, or is too small.
        ConfigError: a setting does not fit the data, the devices or the frozen network.
        CheckpointError: the base lacks the frozen network, or a weight file cannot be used.
        RunError: the name belongs to another bundle or training.
        KeyboardInterrupt: the training was interrupted; the same request resumes it.
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
            raise InputError(f"{request.data} has no items to train on", fix="correct the data")
        listener.say(_summary(data, faults))
        settings = request.settings
        state = identity(request, base, data)
        digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
        out = checkpoints_folder() / request.name
        ranks.wait()  # no process may look for the bundle after the first one has written it
        if (done := find_trained(request, out, digest)) is not None:
            return done
        claim(folder / STATE, state, request, ranks)
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
            write_bundle(request, out, subject, outcome, data, split, layout, len(faults), digest)
        ranks.wait()
        done = find_trained(request, out, digest)
    assert done is not None, "it has just been written"
    return replace(done, was_there=False)


def _silent(*report: object) -> None:
    """Ignore reports of every process but the first."""
    del report


def _device(name: str) -> torch.device:
    """The device of this process; each of several processes has its own GPU."""
    if name in ("auto", "cuda") and torch.cuda.is_available():
        return find_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
    return find_device(name)


def _read(request: Request, folder: Path, ranks: Ranks, listener: Listener) -> tuple[Checked, tuple[Fault, ...], str]:
    """The usable items, the faults of the others, and the name of the layout."""
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
    """Run work that caches its result on disk in the first process, then in the others."""
    done = work() if ranks.is_first else None
    ranks.wait()
    return done if ranks.is_first else work()


def _summary(data: Checked, faults: Sequence[Fault]) -> str:
    groups, labels = {item.group for item in data.items}, {label for item in data.items for label in item.labels}
    skipped = f"; {len(faults)} fault{'s' if len(faults) > 1 else ''} skipped" if faults else ""
    return f"{len(data.items)} items, {len(groups)} groups, {len(labels)} labels{skipped}"


def _subject(
    request: Request,
    base: Bundle,
    data: Checked,
    split: Split,
    device: torch.device,
    ranks: Ranks,
    listener: Listener,
) -> Subject:
    """The network to train, with the embeddings of the frozen one."""
    models = Models(base, device=str(device))
    digest, cache, settings = base.digests(request.kind.frozen), request.work / "frozen", request.settings

    def progress(n: int, total: int) -> None:
        listener.progress(f"embedding with the {request.kind.frozen}", n, total)

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
