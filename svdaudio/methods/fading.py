"""Fading the objects of a picture: what the mixer, CIAP and the edit share.

A sound is generated from one CLAP embedding. `fade_objects` makes it from pictures in which objects are erased,
`blend_objects` from the objects' own embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from svdaudio.config import Number, parameter
from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.stage import Node
from svdaudio.errors import ConfigError
from svdaudio.methods.parts import RenderConfig, SoundConfig, render
from svdaudio.methods.stages import BLEND, CROP, EMBED, ERASE, FADE, KEEP, OVERLAY, REMAINDER, REMIX, UNITE
from svdaudio.mixing.levels import GAIN_EXPECTED, REST, SILENCE, Gain, levels, vertices
from svdaudio.verdicts import Finding, Wanted, class_of, heard, inconclusive


def margin_parameter() -> Any:
    """The parameter of methods that erase objects: how far around an object they erase."""
    return parameter(
        0.01,
        "width of the border that is erased around an object, as a share of the picture's longer side",
        "a number from 0 to 0.5",
        (0.005, 0.05),
        former=0.01,
        ge=0,
        le=0.5,
    )


class FadeConfig(SoundConfig):
    """Parameters of methods that fade objects of a picture and condition on it with SSV2A."""

    rest: Literal["detected", "always"] = parameter(
        "always",
        "whether the rest of the picture is always heard, or only if an object is detected in it",
        '"detected" or "always"',
        former="detected",
    )
    margin: Number = margin_parameter()


@dataclass(frozen=True, kw_only=True)
class Conditioner:
    """How a picture becomes a CLAP embedding, whole or with objects erased."""

    clap: str
    """The `node.output` of the embedding, without the group: "remix.clap"."""
    embed_erased: Callable[[str, str, str | None, Mapping[str, str], Mapping[str, str]], Iterable[Node]]
    """`(group, picture, pixels, absent, present)` → the nodes that embed a picture. `pixels` is the `node.output` of
    the erased picture, None if nothing is erased; `absent` and `present` are masks by the names of objects."""


def gains_parameter(meaning: str, former: Mapping[str, Any] | None = None) -> Any:
    """The parameter with the gains of a method: a table, empty by default, which the method completes.

    Args:
        meaning: as for `parameter`.
        former: as for `parameter`.
    """
    return parameter({}, meaning, GAIN_EXPECTED, is_table=True, former=former, validate_default=True)


def complete_gains(gains: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The gain of every name, 0 dB unless given.

    Raises:
        ConfigError: a gain has an unknown name.
    """
    for name in gains:
        if name not in names:
            raise ConfigError(f"unknown name '{name}' in gains", expected=" or ".join(names), got=name)
    return {name: gains.get(name, 0.0) for name in names}


def fade_objects(
    sound: str,
    picture: str,
    masks: Mapping[str, str],
    gains: Mapping[str, Gain],
    config: RenderConfig,
    *,
    conditioner: Conditioner,
    sources: Mapping[str, str] = MappingProxyType({}),
    negative: str | None = None,
) -> Iterable[Node]:
    """One sound, from embeddings of the picture with objects erased: `<sound>.fade` to `<sound>.scores`.

    With sources, `<sound>.overlay` replaces `<sound>.fade`.

    Args:
        sound: group of the sound's nodes.
        picture: group of the picture's nodes; among them is the embedding of the whole picture.
        masks: object → `node.output` of its mask.
        gains: in dB, of every object, of the rest, and of every source.
        config: decides which nodes there are.
        conditioner: how pictures become embeddings.
        sources: name of a sound or text that is mixed with the picture → `node.output` of its CLAP embedding.
        negative: `node.output` of the CLAP embedding that guidance steers away from.
    """
    claps: dict[str, str] = {}
    is_heard = any(level for name, level in levels(gains).items() if name not in sources)
    nested = vertices({name: gain for name, gain in gains.items() if name not in sources}) if is_heard else []
    if any(REST in vertex.absent for vertex in nested):
        yield Node(name=f"{REST}.mask", stage=REMAINDER, inputs={f"masks.{name}": one for name, one in masks.items()})
    for vertex in nested:
        group = f"without.{vertex.label}" if vertex.absent else picture
        claps[f"claps.{vertex.label}"] = f"{group}.{conditioner.clap}"
        if vertex.absent:
            yield from _embed_without(vertex.absent, picture, masks, group=group, conditioner=conditioner)
    name, stage = ("overlay", OVERLAY) if sources else ("fade", FADE)
    claps |= {f"sources.{source}": clap for source, clap in sources.items()}
    yield Node(name=f"{sound}.{name}", stage=stage, inputs=claps)
    yield from render(sound, config, clap=f"{sound}.{name}.clap", negative=negative)


def blend_objects(
    sound: str,
    picture: str,
    masks: Mapping[str, str],
    gains: Mapping[str, Gain],
    config: FadeConfig,
    *,
    sources: Mapping[str, str] = MappingProxyType({}),
    negative: str | None = None,
) -> Iterable[Node]:
    """One sound, from the objects' own embeddings: `<sound>.blend` to `<sound>.scores`.

    The rest of the picture counts as an object; with `rest = detected`, only if something is detected in it. Takes the
    arguments of `fade_objects`.
    """
    heard = [name for name, level in levels(gains).items() if level]
    for name in heard:
        if name not in sources:
            yield from embed_object(name, picture, masks)
    inputs = {f"claps.{name}": sources.get(name, f"{name}.remix.clap") for name in heard}
    if REST in heard and config.rest == "detected":
        inputs[f"present.{REST}"] = f"{REST}.keep.embeddings"
    yield Node(name=f"{sound}.blend", stage=BLEND, inputs=inputs)
    yield from render(sound, config, clap=f"{sound}.blend.clap", negative=negative)


def embed_object(name: str, picture: str, masks: Mapping[str, str]) -> Iterable[Node]:
    """The CLAP embedding of one object, from its box, or of the rest, from the picture with all objects erased.

    Args:
        name: the object or "rest", and group of the nodes, the last of which is `<name>.remix`.
        picture: group of the picture's nodes.
        masks: object → `node.output` of its mask.
    """
    if name == REST:
        yield from _embed_without(tuple(sorted(masks)), picture, masks, group=REST, conditioner=SSV2A)
        return
    yield Node(name=f"{name}.crop", stage=CROP, inputs={"pixels": f"{picture}.image.pixels", "mask": masks[name]})
    crop = {"embedding": f"{name}.crop.embedding", "locals": f"{name}.crop.embeddings"}
    yield Node(name=f"{name}.remix", stage=REMIX, inputs=crop)


def _embed_without(
    absent: tuple[str, ...], picture: str, masks: Mapping[str, str], *, group: str, conditioner: Conditioner
) -> Iterable[Node]:
    """The CLAP embedding of the picture with the `absent` objects erased; its nodes are in `group`."""
    sources = {name: masks.get(name, f"{REST}.mask.mask") for name in absent}
    pixels, mask = None, next(iter(sources.values()), None)
    if len(sources) > 1:
        yield Node(name=f"{group}.unite", stage=UNITE, inputs={f"masks.{name}": one for name, one in sources.items()})
        mask = f"{group}.unite.mask"
    if mask is not None:
        yield Node(name=f"{group}.erase", stage=ERASE, inputs={"pixels": f"{picture}.image.pixels", "mask": mask})
        pixels = f"{group}.erase.pixels"
    present = {name: one for name, one in masks.items() if name not in absent}
    yield from conditioner.embed_erased(group, picture, pixels, sources, present)


def _embed_erased(
    group: str, picture: str, pixels: str | None, absent: Mapping[str, str], present: Mapping[str, str]
) -> Iterable[Node]:
    """SSV2A on the erased picture and the remaining detected objects: `<group>.embed` to `<group>.remix`."""
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


SSV2A = Conditioner(clap="remix.clap", embed_erased=_embed_erased)


def detected_classes(arrays: RunArrays, picture: str, masks: Mapping[str, str]) -> dict[str, list[str]]:
    """Object → the classes of the detected boxes that belong to it, the most confident first.

    Args:
        arrays: of the run.
        picture: group of the picture's nodes.
        masks: object → node of its mask; masks that were not computed are omitted.
    """
    from svdaudio.mixing.owners import owners  # imports numpy and OpenCV, which plans do not need

    found = {name: arrays[node]["mask"] for name, node in masks.items() if arrays.has(node)}
    if not arrays.has(f"{picture}.locals"):
        return {name: [] for name in found}
    detected = arrays[f"{picture}.locals"]
    names = arrays.classes("detector")
    classes: dict[str, list[str]] = {name: [] for name in found}
    for name, index in zip(owners(detected["boxes"], found, arrays.config.margin), detected["classes"], strict=True):
        if name is not None:
            classes[name].append(names[int(index)])
    return classes


def fade_findings(
    before: Mapping[str, float],
    after: Mapping[str, float],
    candidates: Mapping[str, Sequence[str]],
    gains: Mapping[str, Gain],
    *,
    added: Sequence[str] = (),
) -> list[Finding]:
    """Whether each object and source was changed as its gain demands, by the scores.

    Args:
        before: class scores of the picture's plain sound.
        after: class scores of the mix.
        candidates: object or source → classes that it may belong to if its own name is not a class.
        gains: of each, in dB.
        added: the sources, which are not in the picture.
    """
    classes = {name: class_of(name, before, others) for name, others in candidates.items()}
    findings: list[Finding] = []
    for name, class_name in classes.items():
        wanted = "added" if name in added else change_of_gain(gains[name])
        others = [one for one in classes if one != name and classes[one] == class_name and gains[one] != gains[name]]
        if class_name is None:
            findings.append(inconclusive(name, wanted, "the tagger has no class for it"))
        elif others:
            findings.append(
                inconclusive(name, wanted, f"the scores cannot tell it from {others[0]}, also a {class_name}")
            )
        else:
            findings.append(
                heard(name, before=before[class_name], after=after[class_name], wanted=wanted, class_name=class_name)
            )
    return findings


def change_of_gain(gain_db: float | str) -> Wanted:
    """The change that a gain demands."""
    if gain_db == SILENCE:
        return "silenced"
    return "level" if not float(gain_db) else "raised" if float(gain_db) > 0 else "faded"
