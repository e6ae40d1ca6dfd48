"""The published method: sound that follows the edit of a picture.

    svdaudio run dog_cat.jpg dog_duck.jpg --remove 756,581 --add 756,570

The user gives two pictures, the original and its edit, and marks the removed and the added region (one of the two is
enough). The CLIP tokens of each region are factorised by an SVD, which suppresses the removed and boosts the added
object; their mix replaces the global embedding of the edited picture. The run generates three sounds: those of both
pictures by plain SSV2A, for comparison, and the manipulated one.

In this file, `nodes` is the whole workflow, the functions after it say what a run computes and shows, and `METHOD`
gathers them. The forms `fade` and `clap` edit without the SVD, as the mixer does (`fading.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationInfo, field_validator

from svdaudio.config import REGION_EXPECTED, AlignConfig, EditConfig, MixConfig, Region, SvdConfig, parameter
from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.method import ConfiguredFile, Method
from svdaudio.engine.request import Request
from svdaudio.engine.stage import Node, Nodes, by_name
from svdaudio.errors import InputError
from svdaudio.evaluation.closer import closer_by_scores
from svdaudio.methods.fading import (
    SSV2A,
    FadeConfig,
    blend_objects,
    complete_gains,
    detected_classes,
    fade_objects,
    gains_parameter,
)
from svdaudio.methods.parts import (
    PICTURE,
    check_clicks,
    check_generator,
    encode_picture,
    final_nodes,
    mask_files,
    plain_sound,
    score_outputs,
    segment_region,
    sound_outputs,
    synthesize,
)
from svdaudio.methods.stages import ALIGN, BACKGROUND, BACKGROUND_OF_ONE, DROP, FACTORS, LEFTOVER, MIX, MIX_ONE, REACH
from svdaudio.mixing.levels import REST, SILENCE, Gain
from svdaudio.verdicts import Finding, Wanted, class_of, edit_findings, inconclusive
from svdaudio.views.stages import stage_views

if TYPE_CHECKING:
    from svdaudio.store.base import Store

SOUNDS = ("original", "edited", "manipulated")
REGIONS = {"removed": "original", "added": "edited"}
"""Region → the picture that it lies in."""
PARAMETERS = {"removed": "remove", "added": "add"}
"""Region → the parameter that locates it."""
SCALING = {"removed": "alpha", "added": "beta"}
"""Region → its factor in `svd` and its weight in `mix`."""
LEAST_REACH_DEGREES = 1.0
"""Factors that move an embedding by a smaller angle have next to no effect."""
_UNSCALED = {"background": "background.embedding", "direct": "edited.tokens.embedding"}
"""Inputs of the mix that no factor scales."""


class ManipulateConfig(FadeConfig):
    """Parameters of the edit; `align`, `svd` and `mix` act in the published form only."""

    remove: Region = parameter(
        (), "what to remove in the original picture", REGION_EXPECTED, is_table=True, paths="objects"
    )
    add: Region = parameter((), "what was added in the edited picture", REGION_EXPECTED, is_table=True, paths="objects")
    edit: EditConfig = EditConfig()
    gains: dict[str, Gain] = gains_parameter(
        'gain in dB of "removed", "added" and "rest" in the edited picture, in forms fade and clap',
        former={"removed": SILENCE, "added": 0.0, "rest": 0.0},
    )
    align: AlignConfig = AlignConfig()
    svd: SvdConfig = SvdConfig()
    mix: MixConfig = MixConfig()

    @field_validator("gains")
    @classmethod
    def _complete_gains(cls, gains: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """The gain of each given region and of the rest; by default the removed region is silent."""
        given = [region for region, name in PARAMETERS.items() if info.data.get(name)] or list(PARAMETERS)
        complete = complete_gains({"removed": SILENCE, **gains}, (*PARAMETERS, REST))
        return {name: complete[name] for name in (*given, REST)}


def regions(config: ManipulateConfig) -> dict[str, str]:
    """Each given region and its picture; both regions if none is given, which `check_regions` refuses."""
    given = {region: picture for region, picture in REGIONS.items() if getattr(config, PARAMETERS[region])}
    return given or dict(REGIONS)


def nodes(config: ManipulateConfig) -> Nodes:
    """Both pictures, the regions, the mix, and the three sounds."""
    given = regions(config)
    return by_name(
        (
            *encode_picture("original"),
            *encode_picture("edited"),
            *(node for region, picture in given.items() for node in _region(region, picture, config)),
            *plain_sound("original", config),
            *plain_sound("edited", config),
            *_manipulated(given, config),
        )
    )


def _manipulated(given: Mapping[str, str], config: ManipulateConfig) -> Iterable[Node]:
    """The sound of the edit in the chosen form."""
    if config.edit.form == "svd":
        yield from _mix_of_both() if len(given) == len(REGIONS) else _mix_of_one(*given)
        objects = "edited.locals.embeddings"
        if config.edit.locals == "dropped":
            yield Node(name="manipulated.drop", stage=DROP, inputs={"embeddings": objects})
            objects = "manipulated.drop.embeddings"
        yield from synthesize("manipulated", config, embedding="mix.embedding", objects=objects)
        yield from map(_reach, given)
        return
    masks: dict[str, str] = {}
    if "removed" in given:
        inputs = {"mask": "removed.mask.mask", "pixels": "edited.image.pixels"}
        inputs |= {"added.region": "added.mask.mask"} if "added" in given else {}
        yield Node(name="removed.leftover", stage=LEFTOVER, inputs=inputs)
        masks["removed"] = "removed.leftover.mask"
    if "added" in given:
        masks["added"] = "added.mask.mask"
    if config.edit.form == "fade":
        yield from fade_objects("manipulated", "edited", masks, config.gains, config, conditioner=SSV2A)
    else:
        yield from blend_objects("manipulated", "edited", masks, config.gains, config)


def _region(region: str, picture: str, config: ManipulateConfig) -> Iterable[Node]:
    """The mask of a region and, in the published form, its SVD factors."""
    name = PARAMETERS[region]
    yield from segment_region(region, picture=picture, region=getattr(config, name), name=name)
    if config.edit.form != "svd":
        return
    yield Node(name=f"{region}.align", stage=ALIGN, inputs={"mask": f"{region}.mask.mask"})
    yield Node(
        name=f"{region}.factors",
        stage=FACTORS,
        inputs={"tokens": f"{picture}.tokens.tokens", "grid": f"{region}.align.grid"},
    )


def _reach(region: str) -> Node:
    """The angle by which the factor of a region moves its embedding."""
    factors = {name: f"{region}.factors.{name}" for name in FACTORS.outputs}
    return Node(name=f"{region}.reach", stage=REACH, inputs=factors, parameters={"factor": f"svd.{SCALING[region]}"})


def _mix_of_both() -> Iterable[Node]:
    grids = {f"grid_{region}": f"{region}.align.grid" for region in REGIONS}
    yield Node(name="background", stage=BACKGROUND, inputs={"tokens": "edited.tokens.tokens", **grids})
    factors = {f"{f}_{r}": f"{r}.factors.{f}" for r in REGIONS for f in FACTORS.outputs}
    yield Node(name="mix", stage=MIX, inputs={**factors, **_UNSCALED})


def _mix_of_one(region: str) -> Iterable[Node]:
    """The mix of an edit that only removes or only adds."""
    inputs = {"tokens": "edited.tokens.tokens", "grid": f"{region}.align.grid"}
    yield Node(name="background", stage=BACKGROUND_OF_ONE, inputs=inputs)
    factors = {f: f"{region}.factors.{f}" for f in FACTORS.outputs}
    parameters = {"factor": f"svd.{SCALING[region]}", "weight": f"mix.{SCALING[region]}"}
    yield Node(name="mix", stage=MIX_ONE, inputs={**factors, **_UNSCALED}, parameters=parameters)


def check_regions(request: Request, store: Store | None) -> None:
    """Check that a region to remove or to add is given.

    Raises:
        InputError: neither is given.
    """
    del store
    if not (request.config.remove or request.config.add):
        raise no_region_error("--remove X,Y or --add X,Y")


def no_region_error(what: str) -> InputError:
    """The error for an edit with neither region.

    Args:
        what: how to give one.
    """
    expected = "a region to remove in the original picture, a region added in the edited picture, or both"
    return InputError("no region given to remove or add", expected=expected, fix=f"give {what}")


def configured_files(config: ManipulateConfig) -> Mapping[str, ConfiguredFile]:
    """The mask files of the regions."""
    return {**mask_files(config.remove, "remove"), **mask_files(config.add, "add")}


def sounds(config: ManipulateConfig) -> Mapping[str, str]:
    """The plain sounds of both pictures, and the sound of the edit."""
    return sound_outputs(config, SOUNDS)


def scores(config: ManipulateConfig) -> Mapping[str, str]:
    """The scores of each sound."""
    del config
    return score_outputs(SOUNDS)


def targets(config: ManipulateConfig) -> tuple[str, ...]:
    """All sounds, the edit's first, so that an unusable click is reported before anything costly is computed."""
    return (*final_nodes(config, ("manipulated", "original", "edited")), *_reaches(config))


def targets_of_edit(config: ManipulateConfig) -> tuple[str, ...]:
    """Only the sound of the edit."""
    return (*final_nodes(config, ("manipulated",)), *_reaches(config))


def _reaches(config: ManipulateConfig) -> tuple[str, ...]:
    return tuple(f"{region}.reach" for region in regions(config)) if config.edit.form == "svd" else ()


def measures(arrays: RunArrays) -> Mapping[str, Mapping[str, float]]:
    """Cosines of the mixed embedding, the reach of each factor, and cosines of the class scores.

    The mixed embedding is compared with both pictures and with the unscaled regions, the scores of the edit's sound
    with those of both pictures' plain sounds.
    """
    from svdaudio.methods.mixes import mix_cosines

    found: dict[str, Mapping[str, float]] = {"cosines": mix_cosines(arrays)} if arrays.has("mix") else {}
    if (near := closer_by_scores(arrays.scores())) is not None:
        found["score_cosines"] = {"original": round(near.original, 6), "edited": round(near.edited, 6)}
    for figure in ("degrees", "share"):
        values = {region: float(arrays[f"{region}.reach"][figure]) for region in _measured_reaches(arrays)}
        if values:
            found[f"reach_{figure}"] = {region: round(value, 6) for region, value in values.items()}
    return found


def notes(arrays: RunArrays) -> list[str]:
    """How far each factor moved its region's embedding and, if that is next to nothing, settings with more effect."""
    moved = {region: float(arrays[f"{region}.reach"]["degrees"]) for region in _measured_reaches(arrays)}
    if not moved:
        return []
    parts = [
        f"svd.{SCALING[region]} = {arrays.config.value(f'svd.{SCALING[region]}'):g} turns the embedding of the "
        f"{region} region by {degrees:.2f}°"
        for region, degrees in moved.items()
    ]
    weak = max(moved.values()) < LEAST_REACH_DEGREES
    advice = ", which has almost no effect; use svd.k = 1 for more, or --form fade to act on the objects directly"
    return [f"reach: {' and '.join(parts)}{advice if weak else ''}"]


def _measured_reaches(arrays: RunArrays) -> list[str]:
    return [region for region in REGIONS if arrays.has(f"{region}.reach")]


def verdict(arrays: RunArrays) -> list[Finding]:
    """Whether the added object is heard, the removed one is gone, and the rest of the original's sound is kept."""
    found = arrays.scores()
    if "manipulated" not in found or "original" not in found:
        return []
    before, after = found["original"], found["manipulated"]
    wanted: dict[Wanted, list[str]] = {}
    order: tuple[Literal["added", "removed"], ...] = ("added", "removed")
    for region in order:
        if not arrays.has(f"{region}.mask"):
            continue
        prompt = getattr(arrays.config, PARAMETERS[region])
        detected = detected_classes(arrays, REGIONS[region], {region: f"{region}.mask"})[region]
        named = [name for name in prompt if class_of(name, before)] if isinstance(prompt, Mapping) else []
        known = [name for name in named or detected if class_of(name, before)]
        wanted[region] = known or [f"the {region} region"]
    findings = edit_findings(before, after, wanted)
    if len({use.digest for use in arrays.run.files.values()}) == 1 and arrays.has("added.mask"):
        findings.append(inconclusive("the edit", "added", "both pictures are identical: nothing was added"))
    return findings


METHOD = Method(
    name="manipulate",
    summary="generate sound that follows the edit of a picture, by the published method",
    files={"original": PICTURE, "edited": PICTURE},
    config=ManipulateConfig,
    nodes=nodes,
    configured_files=configured_files,
    regions={name: REGIONS[region] for region, name in PARAMETERS.items()},
    label="Edit",
    targets=targets,
    variants={"no_baselines": targets_of_edit},
    figures=("removed.reach", "added.reach"),
    sounds=sounds,
    scores=scores,
    result="manipulated",
    checks=(check_regions, check_clicks, check_generator),
    views=stage_views,
    measures=measures,
    notes=notes,
    verdict=verdict,
)
