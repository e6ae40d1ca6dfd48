"""The table of the mini bundle's held-out figures, from the weights in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.description import MANIFEST
from svdaudio.checkpoints.models import Models
from svdaudio.config import resolve
from svdaudio.figures import Figure
from svdaudio.methods import other_parameters
from svdaudio.methods.baseline import METHOD
from svdaudio.methods.parts import SoundConfig
from svdaudio.mini import audio_evaluation, domain_evaluation, vision_evaluation
from svdaudio.mini.recipes import ciap_image_encoder, guide, mapper, sound_encoder
from svdaudio.places import pretrained_folder

N_CANDIDATES = 1
"""Candidates for the sound of a picture, instead of three, so that the table takes a quarter of an hour."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the table."""

    title: str
    measure: Callable[[], tuple[Figure, ...]]
    card: Path | None = None
    """Path of the model card that has the same figures."""


def sections(folder: Path) -> Iterator[Section]:
    """The parts of the table in order, with the functions that measure them.

    Args:
        folder: of the mini bundle. The bundle for pretraining is also measured if it is next to it.

    Raises:
        CheckpointError: the bundle or one of its models is missing or damaged.
    """
    bundle = Bundle.open(folder.name, folder.parent)
    weights = {role: bundle.entry(role).path for role in bundle.roles}
    for role in bundle.roles:
        bundle.check(role)

    def heard() -> tuple[Figure, ...]:
        given = {"bundle": bundle.name, "generate.candidates": N_CANDIDATES}
        config = resolve(
            SoundConfig, given=given, bundle_settings=lambda _: bundle.settings, elsewhere=other_parameters(METHOD)
        ).config
        return audio_evaluation.hearing_figures(Models(bundle, device="cpu", keep=True), config)

    def known() -> tuple[Figure, ...]:
        models = Models(bundle, device="cpu", keep=True)
        domain, encoder, detector = (models[role] for role in ("domain", "image_encoder", "detector"))
        return domain_evaluation.domain_figures(domain, encoder, detector)

    measures: dict[str, Callable[[], tuple[Figure, ...]]] = {
        "segmenter": lambda: vision_evaluation.segmenter_figures(weights["segmenter"]),
        "detector": lambda: vision_evaluation.detector_figures(weights["detector"]),
        "image_encoder": lambda: vision_evaluation.image_encoder_figures(weights["image_encoder"]),
        "tagger": lambda: audio_evaluation.tagger_figures(weights["tagger"]),
        "autoencoder": lambda: audio_evaluation.autoencoder_figures(weights["autoencoder"]),
        "domain": known,
        "vocoder": lambda: audio_evaluation.vocoder_figures(weights["autoencoder"], weights["vocoder"]),
    }
    for role, measure in measures.items():
        yield Section(title=role.replace("_", " "), measure=measure, card=folder / f"{role}.md")
    yield Section(title="pictures to sounds", measure=heard)
    if (pretrained_folder(folder) / MANIFEST).is_file():
        yield from _pretrained_sections(pretrained_folder(folder))


def _pretrained_sections(folder: Path) -> Iterator[Section]:
    """The parts for the models of the bundle for pretraining, in `folder`."""
    bundle = Bundle.open(folder.name, folder.parent)
    for role in bundle.own_roles:
        bundle.check(role)

    def ciap() -> tuple[Figure, ...]:
        models = Models(bundle, device="cpu", keep=True)
        return ciap_image_encoder.figures(models["ciap_image_encoder"], models["audio_encoder"])

    def mapped() -> tuple[Figure, ...]:
        models = Models(bundle, device="cpu", keep=True)
        return mapper.figures(bundle.entry("mapper").path, models["image_encoder"], models["audio_encoder"])

    measures: dict[str, Callable[[], tuple[Figure, ...]]] = {
        "ciap_image_encoder": ciap,
        "sound_encoder": lambda: sound_encoder.figures(bundle.entry("sound_encoder").path),
        "guide": lambda: guide.figures(bundle.entry("guide").path),
        "mapper": mapped,
    }
    for role, measure in measures.items():
        yield Section(title=role.replace("_", " "), measure=measure, card=folder / f"{role}.md")
