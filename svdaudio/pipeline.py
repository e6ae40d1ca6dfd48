"""The method from pictures to sound in one call, in memory: what the stage table wires, without store or runs.

The command line and flows run the same library functions stage by stage and keep every result; use them for
anything that is run more than once. Models are asked for stage by stage, so that each is loaded once even where
only one fits into memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from svdaudio.align import align_mask
from svdaudio.audioldm.backends import open_backend
from svdaudio.audioldm.choose import choose
from svdaudio.config import RunConfig
from svdaudio.errors import InputError
from svdaudio.evaluate import class_scores
from svdaudio.geometry import Geometry
from svdaudio.images import Pixels
from svdaudio.locals import DetectionSettings, embed_boxes
from svdaudio.masks import split_points
from svdaudio.memory_layout import to_tensor
from svdaudio.mix import MixWeights, background_embedding, manipulate
from svdaudio.randomness import stage_generator
from svdaudio.remix import RemixSettings, remix
from svdaudio.svd import factorize

if TYPE_CHECKING:
    from svdaudio.bundle import Models


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What a sound is made from."""

    embedding: Float[NDArray[Any], " dim"]
    """The global CLIP embedding, [768]."""
    objects: Float[NDArray[Any], "n dim"]
    """CLIP embeddings of the picture's objects, [n, 768]."""


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A sound and what the tagger hears in it."""

    waveform: Float[NDArray[np.float32], "1 sample"]
    """At 22 050 Hz."""
    scores: Mapping[str, float]
    """Class → score."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Everything that the method makes of an edit."""

    masks: Mapping[str, Bool[NDArray[np.bool_], "height width"]]
    """"removed", in the original picture, and "added", in the edited one."""
    embedding: Float[NDArray[np.float32], " dim"]
    """E_final."""
    sounds: Mapping[str, Sound]
    """"original" and "edited" by plain SSV2A, and "manipulated"."""
    remarks: tuple[str, ...] = field(default=())
    """What was unusual."""


def hear_edit(original: Pixels, edited: Pixels, *, config: RunConfig, models: Models) -> Edit:
    """All nine steps: two pictures and clicks (`config.remove`, `config.add`) to three sounds.

    Raises:
        InputError: no click, or one outside of its picture.
        EmptyRegionError: a region covers no patch.
    """
    geometry = Geometry.of(config.geometry)
    pictures = {"original": original, "edited": edited}
    regions = {"removed": ("original", config.remove), "added": ("edited", config.add)}
    masks = {
        region: models["segmenter"].segment(pictures[name], *split_points(points)).mask
        for region, (name, points) in regions.items()
    }
    grids = {region: align_mask(mask, geometry, config.align.threshold).grid for region, mask in masks.items()}
    seen = {name: models["image_encoder"].tokens(pixels, geometry) for name, pixels in pictures.items()}
    factors = {region: factorize(seen[name].tokens, grids[region]) for region, (name, _) in regions.items()}
    background = background_embedding(seen["edited"].tokens, grids["removed"], grids["added"])
    mixed = manipulate(
        removed=factors["removed"],
        added=factors["added"],
        background=background,
        direct=seen["edited"].embedding,
        k=config.svd.k,
        alpha=config.svd.alpha,
        beta=config.svd.beta,
        weights=MixWeights(
            suppress=config.mix.alpha, boost=config.mix.beta, background=config.mix.gamma, direct=config.mix.direct
        ),
    )
    objects = embed_objects(pictures, config=config, models=models)
    conditions = {
        "original": Condition(embedding=seen["original"].embedding, objects=objects["original"]),
        "edited": Condition(embedding=seen["edited"].embedding, objects=objects["edited"]),
        "manipulated": Condition(embedding=mixed.embedding, objects=objects["edited"]),
    }
    return Edit(
        masks=masks,
        embedding=mixed.embedding,
        sounds=make_sounds(conditions, config=config, models=models),
        remarks=() if len(background) else ("no background patch left: E_bg dropped from the mix",),
    )


def hear_picture(
    pixels: Pixels, *, config: RunConfig, models: Models, embedding: Float[NDArray[Any], " dim"] | None = None
) -> Sound:
    """Step 8 for one picture: plain SSV2A, or with `embedding` in the place of the picture's own.

    Raises:
        InputError: an embedding of another shape.
    """
    wanted: NDArray[Any] = (
        models["image_encoder"].tokens(pixels, Geometry.of(config.geometry)).embedding
        if embedding is None
        else embedding
    )
    objects = embed_objects({"picture": pixels}, config=config, models=models)["picture"]
    if wanted.shape != objects.shape[1:]:
        raise InputError("the embedding has another shape", expected=list(objects.shape[1:]), got=list(wanted.shape))
    condition = Condition(embedding=wanted, objects=objects)
    return make_sounds({"picture": condition}, config=config, models=models)["picture"]


def embed_objects(
    pictures: Mapping[str, Pixels], *, config: RunConfig, models: Models
) -> dict[str, Float[NDArray[np.float32], "n dim"]]:
    """CLIP embeddings of the objects in each picture."""
    settings = DetectionSettings(
        confidence=config.locals.confidence,
        iou=config.locals.iou,
        max_detections=config.locals.max_detections,
        top_k=config.locals.top_k,
        augment=config.locals.augment,
    )
    boxes = {name: models["detector"].detect(pixels, settings).boxes for name, pixels in pictures.items()}
    return {name: embed_boxes(pixels, boxes[name], models["image_encoder"]) for name, pixels in pictures.items()}


def make_sounds(conditions: Mapping[str, Condition], *, config: RunConfig, models: Models) -> dict[str, Sound]:
    """From embeddings to scored sounds; all of them see the same random numbers."""
    how, generate = config.remix, config.generate
    settings = RemixSettings(cycle_its=how.cycle_its, cycle_samples=how.cycle_samples, var_samples=how.var_samples)
    claps = {
        name: to_tensor(
            remix(
                models["ssv2a"],
                embedding=each.embedding,
                objects=each.objects,
                settings=settings,
                generator=stage_generator(config.seed, "remix"),
            )
        )
        for name, each in conditions.items()
    }
    backend = open_backend(generate.backend)
    latents = {
        name: backend.diffuse(
            models["diffuser"],
            clap,
            scheduler=generate.scheduler,
            n_steps=generate.steps,
            guidance_scale=generate.guidance_scale,
            n_candidates=generate.candidates,
            duration_s=generate.duration_s,
            generator=stage_generator(config.seed, "diffuse"),
            precision=generate.precision,
        )
        for name, clap in claps.items()
    }
    mels = {name: backend.decode(models["autoencoder"], each) for name, each in latents.items()}
    waveforms = {name: backend.vocode(models["vocoder"], each) for name, each in mels.items()}
    kept = {
        name: choose(models["audio_encoder"], each, claps[name], duration_s=generate.duration_s).waveform
        for name, each in waveforms.items()
    }
    names = models.bundle.classes("tagger")
    scores = {name: class_scores(models["tagger"], waveform).tolist() for name, waveform in kept.items()}
    return {
        name: Sound(waveform=waveform.numpy(), scores=dict(zip(names, scores[name], strict=True)))
        for name, waveform in kept.items()
    }
