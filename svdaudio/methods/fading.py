"""Fading the objects of a picture: parameters and pieces of workflows that the mixer and the edit have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from svdaudio.config import Number, parameter
from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.stage import Node
from svdaudio.methods.parts import RenderConfig, SoundConfig, render
from svdaudio.methods.stages import BLEND, CROP, EMBED, ERASE, FADE, KEEP, OVERLAY, REMAINDER, REMIX, UNITE
from svdaudio.mixing.levels import GAIN_EXPECTED, REST, SILENCE, Gain, levels, vertices
from svdaudio.verdicts import Finding, Wanted, class_of, heard, untold


def margin_parameter() -> Any:
    """How much more than an object is erased, a parameter of methods that erase objects."""
    return parameter(
        0.01,
        "how far around an object the picture is erased, too, as a share of its longer side",
        "a number from 0 to 0.5",
        (0.005, 0.05),
        former=0.01,
        ge=0,
        le=0.5,
    )


class FadeConfig(SoundConfig):
    """Parameters of methods that fade objects of a picture, seen by SSV2A."""

    rest: Literal["detected", "always"] = parameter(
        "always",
        "whether the rest of the picture sounds always, or only with a detected object in it",
        '"detected" or "always"',
        former="detected",
    )
    margin: Number = margin_parameter()


@dataclass(frozen=True, kw_only=True)
class Conditioner:
    """How a picture, or what is left of it, becomes a CLAP embedding."""

    clap: str
    """The `node.output` of the embedding, without the group: "remix.clap"."""
    without: Callable[[str, str, str | None, Mapping[str, str], Mapping[str, str]], Iterable[Node]]
    """`(group, picture, pixels, absent, present)` → the nodes from the erased picture on. `pixels` is the `node.output`
    of the erased picture, None if nothing is erased; `absent` and `present` are masks by the names of objects."""


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
    config: RenderConfig,
    *,
    conditioner: Conditioner,
    beside: Mapping[str, str] = MappingProxyType({}),
    away: str | None = None,
) -> Iterable[Node]:
    """One sound, from the embeddings of the picture without some of its objects: `<sound>.fade` to `<sound>.scores`.

    With sources beside the picture, `<sound>.overlay` is in the place of `<sound>.fade`.

    Args:
        sound: group of the sound's nodes.
        picture: group of the nodes that looked at it; among them is the embedding of the whole picture.
        masks: object → `node.output` of its mask.
        gains: in dB, of every object, of the rest, and of what is beside the picture.
        config: which nodes there are.
        conditioner: how pictures become embeddings.
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
        claps[f"claps.{vertex.label}"] = f"{group}.{conditioner.clap}"
        if vertex.absent:
            yield from _without(vertex.absent, picture, masks, group=group, conditioner=conditioner)
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
        yield from _without(tuple(sorted(masks)), picture, masks, group=REST, conditioner=SSV2A)
        return
    yield Node(name=f"{name}.crop", stage=CROP, inputs={"pixels": f"{picture}.image.pixels", "mask": masks[name]})
    crop = {"embedding": f"{name}.crop.embedding", "locals": f"{name}.crop.embeddings"}
    yield Node(name=f"{name}.remix", stage=REMIX, inputs=crop)


def _without(
    absent: tuple[str, ...], picture: str, masks: Mapping[str, str], *, group: str, conditioner: Conditioner
) -> Iterable[Node]:
    """The CLAP embedding of the picture without some objects, whose nodes are in `group`."""
    sources = {name: masks.get(name, f"{REST}.mask.mask") for name in absent}
    pixels, mask = None, next(iter(sources.values()), None)
    if len(sources) > 1:
        yield Node(name=f"{group}.unite", stage=UNITE, inputs={f"masks.{name}": one for name, one in sources.items()})
        mask = f"{group}.unite.mask"
    if mask is not None:
        yield Node(name=f"{group}.erase", stage=ERASE, inputs={"pixels": f"{picture}.image.pixels", "mask": mask})
        pixels = f"{group}.erase.pixels"
    present = {name: one for name, one in masks.items() if name not in absent}
    yield from conditioner.without(group, picture, pixels, sources, present)


def _ssv2a_without(
    group: str, picture: str, pixels: str | None, absent: Mapping[str, str], present: Mapping[str, str]
) -> Iterable[Node]:
    """SSV2A on the erased picture and on the detected objects that are left: `<group>.embed` to `<group>.remix`."""
    embedding = f"{picture}.tokens.embedding"
    if pixels is not None:
        yield Node(name=f"{group}.embed", stage=EMBED, inputs={"pixels": pixels})
        embedding = f"{group}.embed.embedding"
    keep = {"boxes": f"{picture}.locals.boxes", "embeddings": f"{picture}.locals.embeddings"}
    keep |= {f"absent.{name}": one for name, one in absent.items()}
    keep |= {f"present.{name}": one for name, one in present.items()}
    yield Node(name=f"{group}.keep", stage=KEEP, inputs=keep)
    slots = {"embedding": embedding, "locals": f"{group}.keep.embeddings"}
    yield Node(name=f"{group}.remix", stage=REMIX, inputs=slots)


SSV2A = Conditioner(clap="remix.clap", without=_ssv2a_without)


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


def fade_findings(
    before: Mapping[str, float],
    after: Mapping[str, float],
    named: Mapping[str, Sequence[str]],
    gains: Mapping[str, Gain],
    *,
    added: Sequence[str] = (),
) -> list[Finding]:
    """What was to happen to each object and source, and whether it did.

    Args:
        before: class scores of the picture's plain sound.
        after: class scores of the mix.
        named: object or source → names of classes that it may be, after its own name.
        gains: of each, in dB.
        added: those that are beside the picture.
    """
    classes = {name: class_of(name, before, others) for name, others in named.items()}
    findings: list[Finding] = []
    for name, class_name in classes.items():
        wanted = "added" if name in added else wanted_of(gains[name])
        others = [one for one in classes if one != name and classes[one] == class_name and gains[one] != gains[name]]
        if class_name is None:
            findings.append(untold(name, wanted, "no class of the tagger tells about it"))
        elif others:
            findings.append(untold(name, wanted, f"the scores cannot tell it from {others[0]}, also a {class_name}"))
        else:
            findings.append(
                heard(name, before=before[class_name], after=after[class_name], wanted=wanted, class_name=class_name)
            )
    return findings


def wanted_of(gain_db: float | str) -> Wanted:
    """What a gain is to do."""
    if gain_db == SILENCE:
        return "silenced"
    return "level" if not float(gain_db) else "raised" if float(gain_db) > 0 else "faded"
