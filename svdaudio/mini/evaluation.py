"""The table of the mini bundle's held-out figures, from the weights in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from svdaudio.bundle import Bundle, Models
from svdaudio.config import resolve
from svdaudio.mini import audio_evaluation, vision_evaluation
from svdaudio.mini.figures import Figure

HEARD_CANDIDATES = 1
"""Sounds to choose from for a picture; not three as by default, so that the table takes a quarter of an hour."""


def sections(folder: Path) -> Iterator[tuple[str, Callable[[], tuple[Figure, ...]]]]:
    """What is measured, in order, and what measures it; `folder` holds a whole bundle.

    Raises:
        CheckpointError: there is no bundle, or a model of it is missing or damaged.
    """
    bundle = Bundle.open(folder.name, folder.parent)
    weights = {role: bundle.entry(role).path for role in bundle.roles}
    for role in bundle.roles:
        bundle.check(role)

    def heard() -> tuple[Figure, ...]:
        given = {"bundle": bundle.name, "generate.candidates": HEARD_CANDIDATES}
        config = resolve(given=given, bundle_settings=lambda _: bundle.settings).config
        return audio_evaluation.hearing_figures(Models(bundle, device="cpu", keep=True), config)

    yield "segmenter", lambda: vision_evaluation.segmenter_figures(weights["segmenter"])
    yield "detector", lambda: vision_evaluation.detector_figures(weights["detector"])
    yield "image encoder", lambda: vision_evaluation.image_encoder_figures(weights["image_encoder"])
    yield "tagger", lambda: audio_evaluation.tagger_figures(weights["tagger"])
    yield "VAE and vocoder", lambda: audio_evaluation.sound_figures(weights["autoencoder"], weights["vocoder"])
    yield "pictures to sounds", heard
