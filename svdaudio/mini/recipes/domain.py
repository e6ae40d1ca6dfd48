"""Recipe: the domain of the image encoder and the detector, with limits that unfamiliar pictures exceed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from svdaudio.mini import farm
from svdaudio.mini.card import publish
from svdaudio.mini.composites import compose
from svdaudio.mini.domain_evaluation import domain_figures, tokens_and_scores
from svdaudio.mini.recipe import OF_PICTURES, PICTURES, Recipe, Training
from svdaudio.models.clip.encoder import load_image_encoder
from svdaudio.models.domain import Domain, fit_limits, load_domain, principal_components
from svdaudio.models.yolo.detector import load_detector
from svdaudio.weights.digests import hash_file

SIZE = 448
N_COMPONENTS = 16
NOISE = 0.01
"""Deviation of a mean token that is added in every direction: between those of the 11 components that distinguish
animals and surroundings (0.11 to 0.017) and the rest."""
SHARE = 0.03
"""Share of the scenes beyond the limits fitted to them; below 0.05, the goal for other scenes."""
READS = ("image_encoder", "detector")
RECIPE = Recipe(
    version=1,
    module=__name__,
    architecture="svdaudio.models.domain.Domain",
    config={"n_components": N_COMPONENTS},
    n_steps=1000,
    title="Domain: the pictures that the image encoder and the detector know (mini)",
    data=f"{PICTURES} Limits are fitted to scenes on the held-out backgrounds, but not to the scenes measured.",
    steps_of="one composite for the principal components of mean tokens, and one scene for the limits, which "
    f"{SHARE:.0%} of the scenes exceed",
    licence=OF_PICTURES,
    extra={"noise": NOISE},
)


def train(training: Training) -> None:
    """Fit components and limits, measure on held-out pictures, and write `domain.safetensors` and its card."""
    begun = time.monotonic()
    weights = {role: training.out / f"{role}.safetensors" for role in READS}
    encoder, detector = load_image_encoder(weights["image_encoder"]), load_detector(weights["detector"])

    def seen(kind: int, backgrounds: Sequence[str]) -> Iterator[tuple[NDArray[np.float32], float]]:
        """Mean token and best score of composites on these backgrounds."""
        for index in track(range(training.n_steps), description="pictures", transient=True):
            rng = np.random.default_rng((training.seed, 79, kind, index))
            picture = compose(rng, size=SIZE, backgrounds=backgrounds, invented_backgrounds=0.0)
            tokens, scores = tokens_and_scores(picture.pixels, encoder, detector)
            yield tokens.mean(axis=0), float(scores.max(initial=0.0))

    known = np.stack([token for token, _ in seen(0, farm.TRAIN_BACKGROUNDS)])
    parts = principal_components(known, n_components=N_COMPONENTS)
    mean, components, deviations = (part.astype(np.float16).astype(np.float32) for part in parts)  # as they are stored
    domain = Domain(
        mean=mean, components=components, deviations=deviations, noise=NOISE, longest_distance=np.inf, least_score=0.0
    )
    tokens, best = zip(*seen(1, farm.HELD_OUT_BACKGROUNDS), strict=True)
    distances = np.array([domain.distance(token[None]) for token in tokens])
    longest, least = fit_limits(distances, np.array(best), share=SHARE)
    (training.folder / f"{RECIPE.role}.log").write_text(json.dumps({"seconds": time.monotonic() - begun}) + "\n")
    limits = {"longest_distance": longest, "least_score": least}
    digests = {role: hash_file(path) for role, path in weights.items()}
    state = {"mean": mean, "components": components, "deviations": deviations}
    publish(
        replace(RECIPE, extra={**RECIPE.extra, **limits, **digests}),
        training,
        {name: torch.from_numpy(part) for name, part in state.items()},
        lambda path: domain_figures(load_domain(path), encoder, detector),
    )
