"""The published method: the removed object is suppressed, the added one boosted, and the rest is kept.

Two pictures, the original and its edit. Their regions' tokens are factorised and mixed into one global embedding,
which takes the place of the edited picture's own; beside the sound of that, both pictures' plain sounds. An edit that
only removes or only adds has one region, and the other drops out of the mix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from svdaudio.config import REGION_EXPECTED, AlignConfig, MixConfig, Region, SvdConfig, parameter
from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.method import ConfiguredFile, Method
from svdaudio.engine.request import Request
from svdaudio.engine.stage import Node, Nodes, by_name
from svdaudio.errors import InputError
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
from svdaudio.methods.stages import ALIGN, BACKGROUND, BACKGROUND_OF_ONE, FACTORS, MIX, MIX_ONE
from svdaudio.views.stages import stage_views

if TYPE_CHECKING:
    from svdaudio.store.base import Store

SOUNDS = ("original", "edited", "manipulated")
REGIONS = {"removed": "original", "added": "edited"}
"""Region → the picture that it lies in."""
PARAMETERS = {"removed": "remove", "added": "add"}
"""Region → the parameter that says where it is."""
_REST = {"background": "background.embedding", "direct": "edited.tokens.embedding"}


class ManipulateConfig(SoundConfig):
    """Parameters of the published method."""

    remove: Region = parameter((), "what to remove, in the original image", REGION_EXPECTED, is_table=True)
    add: Region = parameter((), "what was added, in the edited image", REGION_EXPECTED, is_table=True)
    align: AlignConfig = AlignConfig()
    svd: SvdConfig = SvdConfig()
    mix: MixConfig = MixConfig()


def regions(config: ManipulateConfig) -> dict[str, str]:
    """The regions that are given, and the picture that each lies in; both if none is, which no request may do."""
    given = {region: picture for region, picture in REGIONS.items() if getattr(config, PARAMETERS[region])}
    return given or dict(REGIONS)


def nodes(config: ManipulateConfig) -> Nodes:
    """Both pictures, the regions, the mix, and three sounds."""
    given = regions(config)
    return by_name(
        (
            *look_at("original"),
            *look_at("edited"),
            *(node for region, picture in given.items() for node in _region(region, picture, config)),
            *(_mix_of_both() if len(given) == len(REGIONS) else _mix_of_one(*given)),
            *synthesize(
                "original", config, embedding="original.tokens.embedding", objects="original.locals.embeddings"
            ),
            *synthesize("edited", config, embedding="edited.tokens.embedding", objects="edited.locals.embeddings"),
            *synthesize("manipulated", config, embedding="mix.embedding", objects="edited.locals.embeddings"),
        )
    )


def _region(region: str, picture: str, config: ManipulateConfig) -> Iterable[Node]:
    """A region of a picture, and its factors."""
    name = PARAMETERS[region]
    yield from segment_region(region, picture=picture, region=getattr(config, name), name=name)
    yield Node(name=f"{region}.align", stage=ALIGN, inputs={"mask": f"{region}.mask.mask"})
    yield Node(
        name=f"{region}.factors",
        stage=FACTORS,
        inputs={"tokens": f"{picture}.tokens.tokens", "grid": f"{region}.align.grid"},
    )


def _mix_of_both() -> Iterable[Node]:
    grids = {f"grid_{region}": f"{region}.align.grid" for region in REGIONS}
    yield Node(name="background", stage=BACKGROUND, inputs={"tokens": "edited.tokens.tokens", **grids})
    factors = {f"{f}_{r}": f"{r}.factors.{f}" for r in REGIONS for f in FACTORS.outputs}
    yield Node(name="mix", stage=MIX, inputs={**factors, **_REST})


def _mix_of_one(region: str) -> Iterable[Node]:
    """The mix of an edit that only removes or only adds."""
    inputs = {"tokens": "edited.tokens.tokens", "grid": f"{region}.align.grid"}
    yield Node(name="background", stage=BACKGROUND_OF_ONE, inputs=inputs)
    factors = {f: f"{region}.factors.{f}" for f in FACTORS.outputs}
    scaling = {"removed": "alpha", "added": "beta"}[region]
    parameters = {"factor": f"svd.{scaling}", "weight": f"mix.{scaling}"}
    yield Node(name="mix", stage=MIX_ONE, inputs={**factors, **_REST}, parameters=parameters)


def check_regions(request: Request, store: Store | None) -> None:
    """Make sure that something is removed or added.

    Raises:
        InputError: neither is given.
    """
    del store
    if not (request.config.remove or request.config.add):
        raise nothing_given("--remove X,Y or --add X,Y")


def nothing_given(what: str) -> InputError:
    """The error of an edit without a region.

    Args:
        what: how one is given.
    """
    expected = "a region to remove in the original picture, one that was added in the edited picture, or both"
    return InputError("nothing is removed or added", expected=expected, fix=f"give {what}")


def configured_files(config: ManipulateConfig) -> Mapping[str, ConfiguredFile]:
    """The mask files of the regions."""
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
    """Cosine of the mixed embedding with both pictures, and with the regions before they are scaled."""
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
    checks=(check_regions, check_clicks, check_generator),
    views=stage_views,
    measures=measures,
)
