"""Fading the objects of a picture: parameters and pieces of workflows that the mixer and the edit have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from svdaudio.config import Number, parameter
from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.stage import Node
from svdaudio.methods.parts import SoundConfig, render
from svdaudio.methods.stages import BLEND, CROP, EMBED, ERASE, FADE, KEEP, OVERLAY, REMAINDER, REMIX, UNITE
from svdaudio.mixing.levels import GAIN_EXPECTED, REST, Gain, levels, vertices


class FadeConfig(SoundConfig):
    """Parameters of methods that fade objects of a picture."""

    rest: Literal["detected", "always"] = parameter(
        "always",
        "whether the rest of the picture sounds always, or only with a detected object in it",
        '"detected" or "always"',
        former="detected",
    )
    margin: Number = parameter(
        0.01,
        "how far around an object the picture is erased, too, as a share of its longer side",
        "a number from 0 to 0.5",
        (0.005, 0.05),
        former=0.01,
        ge=0,
        le=0.5,
    )


def gains_parameter(meaning: str, former: Mapping[str, Any] | None = None) -> Any:
    """The gains of a method, a table whose default is completed by the method.

    Args:
        meaning: as for `parameter`.
        former: as for `parameter`.
    """
    return parameter({}, meaning, GAIN_EXPECTED, is_table=True, former=former, validate_default=True)


def faded(
    sound: str,
    picture: str,
    masks: Mapping[str, str],
    gains: Mapping[str, Gain],
    config: FadeConfig,
    *,
    beside: Mapping[str, str] = MappingProxyType({}),
    away: str | None = None,
) -> Iterable[Node]:
    """One sound, from the embeddings of the picture without some of its objects: `<sound>.fade` to `<sound>.scores`.

    With sources beside the picture, `<sound>.overlay` is in the place of `<sound>.fade`.

    Args:
        sound: group of the sound's nodes.
        picture: group of the nodes that looked at it, of which `<picture>.remix` is the whole picture's embedding.
        masks: object → `node.output` of its mask.
        gains: in dB, of every object, of the rest, and of what is beside the picture.
        config: which nodes there are.
        beside: name of a source beside the picture → `node.output` of its CLAP embedding.
        away: `node.output` of the embedding that the sound is led away from.
    """
    claps: dict[str, str] = {}
    is_heard = any(level for name, level in levels(gains).items() if name not in beside)
    nested = vertices({name: gain for name, gain in gains.items() if name not in beside}) if is_heard else []
    if any(REST in vertex.absent for vertex in nested):
        yield Node(name=f"{REST}.mask", stage=REMAINDER, inputs={f"masks.{name}": one for name, one in masks.items()})
    for vertex in nested:
        group = f"without.{vertex.label}" if vertex.absent else picture
        claps[f"claps.{vertex.label}"] = f"{group}.remix.clap"
        if vertex.absent:
            yield from _without(vertex.absent, picture, masks, group=group)
    name, stage = ("overlay", OVERLAY) if beside else ("fade", FADE)
    claps |= {f"sources.{source}": clap for source, clap in beside.items()}
    yield Node(name=f"{sound}.{name}", stage=stage, inputs=claps)
    yield from render(sound, config, clap=f"{sound}.{name}.clap", away=away)


def blended(
    sound: str,
    picture: str,
    masks: Mapping[str, str],
    gains: Mapping[str, Gain],
    config: FadeConfig,
    *,
    beside: Mapping[str, str] = MappingProxyType({}),
    away: str | None = None,
) -> Iterable[Node]:
    """One sound, from the embeddings of the objects by themselves: `<sound>.blend` to `<sound>.scores`.

    The rest is one of them, unless nothing is detected in it and it sounds only then. Arguments as of `faded`.
    """
    heard = [name for name, level in levels(gains).items() if level]
    for name in heard:
        if name not in beside:
            yield from alone(name, picture, masks)
    inputs = {f"claps.{name}": beside.get(name, f"{name}.remix.clap") for name in heard}
    if REST in heard and config.rest == "detected":
        inputs[f"present.{REST}"] = f"{REST}.keep.embeddings"
    yield Node(name=f"{sound}.blend", stage=BLEND, inputs=inputs)
    yield from render(sound, config, clap=f"{sound}.blend.clap", away=away)


def alone(name: str, picture: str, masks: Mapping[str, str]) -> Iterable[Node]:
    """The CLAP embedding of one object, from its box; or of the rest, from the picture without all objects.

    Args:
        name: the object, and group of the nodes that end with `<name>.remix`; or "rest".
        picture: group of the nodes that looked at the picture.
        masks: object → `node.output` of its mask.
    """
    if name == REST:
        yield from _without(tuple(sorted(masks)), picture, masks, group=REST)
        return
    yield Node(name=f"{name}.crop", stage=CROP, inputs={"pixels": f"{picture}.image.pixels", "mask": masks[name]})
    crop = {"embedding": f"{name}.crop.embedding", "locals": f"{name}.crop.embeddings"}
    yield Node(name=f"{name}.remix", stage=REMIX, inputs=crop)


def _without(absent: tuple[str, ...], picture: str, masks: Mapping[str, str], *, group: str) -> Iterable[Node]:
    """The CLAP embedding of the picture without some objects: `<group>.erase` to `<group>.remix`."""
    sources = {name: masks.get(name, f"{REST}.mask.mask") for name in absent}
    embedding, mask = f"{picture}.tokens.embedding", next(iter(sources.values()), None)
    if len(sources) > 1:
        yield Node(name=f"{group}.unite", stage=UNITE, inputs={f"masks.{name}": one for name, one in sources.items()})
        mask = f"{group}.unite.mask"
    if mask is not None:
        yield Node(name=f"{group}.erase", stage=ERASE, inputs={"pixels": f"{picture}.image.pixels", "mask": mask})
        yield Node(name=f"{group}.embed", stage=EMBED, inputs={"pixels": f"{group}.erase.pixels"})
        embedding = f"{group}.embed.embedding"
    keep = {"boxes": f"{picture}.locals.boxes", "embeddings": f"{picture}.locals.embeddings"}
    keep |= {f"absent.{name}": one for name, one in sources.items()}
    keep |= {f"present.{name}": one for name, one in masks.items() if name not in absent}
    yield Node(name=f"{group}.keep", stage=KEEP, inputs=keep)
    slots = {"embedding": embedding, "locals": f"{group}.keep.embeddings"}
    yield Node(name=f"{group}.remix", stage=REMIX, inputs=slots)


def detected_classes(arrays: RunArrays, picture: str, masks: Mapping[str, str]) -> dict[str, list[str]]:
    """Object → the detector's classes of the boxes that belong to it, the most confident first.

    Args:
        arrays: of the run.
        picture: group of the nodes that looked at the picture.
        masks: object → node of its mask; those that are not done are omitted.
    """
    from svdaudio.mixing.owners import owners  # imports numpy and OpenCV, which plans do without

    found = {name: arrays[node]["mask"] for name, node in masks.items() if arrays.has(node)}
    if not arrays.has(f"{picture}.locals"):
        return {name: [] for name in found}
    seen = arrays[f"{picture}.locals"]
    names = arrays.classes("detector")
    classes: dict[str, list[str]] = {name: [] for name in found}
    for name, index in zip(owners(seen["boxes"], found, arrays.config.margin), seen["classes"], strict=True):
        if name is not None:
            classes[name].append(names[int(index)])
    return classes
