"""The published method: the removed object is suppressed, the added one boosted, and the rest is kept.

Two pictures, the original and its edit. Their regions' tokens are factorised and mixed into one global embedding,
which takes the place of the edited picture's own; beside the sound of that, both pictures' plain sounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from svdaudio.config import REGION_EXPECTED, AlignConfig, MixConfig, Region, SvdConfig, parameter
from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.method import ConfiguredFile, Method
from svdaudio.engine.stage import Node, Nodes, by_name
from svdaudio.methods.parts import (
    PICTURE,
    SoundConfig,
    check_clicks,
    check_generator,
    look_at,
    mask_files,
    scores_of,
    segment_region,
    sounds_of,
    synthesize,
    targets_of,
)
from svdaudio.methods.stages import ALIGN, BACKGROUND, FACTORS, MIX
from svdaudio.views.stages import stage_views

SOUNDS = ("original", "edited", "manipulated")
REGIONS = {"removed": "original", "added": "edited"}
"""Region → the picture that it lies in."""


class ManipulateConfig(SoundConfig):
    """Parameters of the published method."""

    remove: Region = parameter(
        (), "what to remove, in the original image", REGION_EXPECTED, is_table=True, paths="objects"
    )
    add: Region = parameter((), "what was added, in the edited image", REGION_EXPECTED, is_table=True, paths="objects")
    align: AlignConfig = AlignConfig()
    svd: SvdConfig = SvdConfig()
    mix: MixConfig = MixConfig()


def nodes(config: ManipulateConfig) -> Nodes:
    """Both pictures, both regions, the mix, and three sounds."""
    return by_name(
        (
            *look_at("original"),
            *look_at("edited"),
            *_region("removed", "original", config.remove, "remove"),
            *_region("added", "edited", config.add, "add"),
            Node(
                name="background",
                stage=BACKGROUND,
                inputs={
                    "tokens": "edited.tokens.tokens",
                    "grid_removed": "removed.align.grid",
                    "grid_added": "added.align.grid",
                },
            ),
            Node(
                name="mix",
                stage=MIX,
                inputs={
                    **{f"{f}_{r}": f"{r}.factors.{f}" for r in REGIONS for f in ("u", "s", "vh", "weights")},
                    "background": "background.embedding",
                    "direct": "edited.tokens.embedding",
                },
            ),
            *synthesize(
                "original", config, embedding="original.tokens.embedding", objects="original.locals.embeddings"
            ),
            *synthesize("edited", config, embedding="edited.tokens.embedding", objects="edited.locals.embeddings"),
            *synthesize("manipulated", config, embedding="mix.embedding", objects="edited.locals.embeddings"),
        )
    )


def _region(region: str, picture: str, given: Region, name: str) -> Iterable[Node]:
    """A region of a picture, and its factors."""
    yield from segment_region(region, picture=picture, region=given, name=name)
    yield Node(name=f"{region}.align", stage=ALIGN, inputs={"mask": f"{region}.mask.mask"})
    yield Node(
        name=f"{region}.factors",
        stage=FACTORS,
        inputs={"tokens": f"{picture}.tokens.tokens", "grid": f"{region}.align.grid"},
    )


def configured_files(config: ManipulateConfig) -> Mapping[str, ConfiguredFile]:
    """The mask files of both regions."""
    return {**mask_files(config.remove, "remove"), **mask_files(config.add, "add")}


def sounds(config: ManipulateConfig) -> Mapping[str, str]:
    """The sounds of both pictures as they are, and of the edit."""
    return sounds_of(config, SOUNDS)


def scores(config: ManipulateConfig) -> Mapping[str, str]:
    """The scores of each sound."""
    del config
    return scores_of(SOUNDS)


def targets(config: ManipulateConfig) -> tuple[str, ...]:
    """All sounds, the edit first: a click that cannot be used is reported before anything costly is computed."""
    return targets_of(config, ("manipulated", "original", "edited"))


def targets_of_edit(config: ManipulateConfig) -> tuple[str, ...]:
    """The sound of the edit alone."""
    return targets_of(config, ("manipulated",))


def measures(arrays: RunArrays) -> Mapping[str, Mapping[str, float]]:
    """Cosine of the mixed embedding with both pictures, and with both regions before they are scaled."""
    from svdaudio.methods.mixes import mix_cosines

    return {"cosines": mix_cosines(arrays)} if arrays.has("mix") else {}


METHOD = Method(
    name="manipulate",
    summary="the published method: sound that follows an edit of a picture",
    files={"original": PICTURE, "edited": PICTURE},
    config=ManipulateConfig,
    nodes=nodes,
    configured_files=configured_files,
    targets=targets,
    variants={"no_baselines": targets_of_edit},
    sounds=sounds,
    scores=scores,
    result="manipulated",
    checks=(check_clicks, check_generator),
    views=stage_views,
    measures=measures,
)
