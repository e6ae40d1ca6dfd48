"""What several methods have in common: kinds of files, checks, and pieces of workflows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

from pydantic import Field

from svdaudio.config import (
    FinishConfig,
    GenerateConfig,
    LocalsConfig,
    ObjectPrompt,
    Point,
    RemixConfig,
    RunConfig,
    check_text,
    parameter,
)
from svdaudio.engine.method import ConfiguredFile, FileKind
from svdaudio.engine.request import Request
from svdaudio.engine.stage import Node, Stage
from svdaudio.errors import InputError
from svdaudio.methods.stages import (
    BOX_MASK,
    CHOOSE,
    DECODE,
    DESCRIBE,
    DIFFUSE,
    DIFFUSE_AWAY,
    DIFFUSE_EACH,
    FINISH,
    IMAGE,
    LOCALS,
    MASK,
    MASK_FILE,
    PICK,
    REMIX,
    SCORES,
    TOKENS,
    UNITE,
    VOCODE,
)
from svdaudio.models.audioldm.settings import N_TOGETHER
from svdaudio.places import PRETRAINED_BUNDLE

if TYPE_CHECKING:
    from svdaudio.store.base import Store

PICTURE = FileKind(name="picture", checker="svdaudio.svd.images:upright_size")
MASK_OF_OBJECT = FileKind(name="mask", checker="svdaudio.svd.masks:check_mask_file")
BEST = "best"
SOUND = FileKind(name="sound", checker="svdaudio.sounds.reading:sound_facts")


class RenderConfig(RunConfig):
    """Parameters of every method that makes sound by AudioLDM."""

    generate: GenerateConfig = GenerateConfig()
    finish: FinishConfig = FinishConfig()


class PretrainedConfig(RunConfig):
    """Parameters of methods that need a model from pretraining on pictures, sounds and words."""

    bundle: Annotated[str, Field(min_length=1)] = parameter(
        PRETRAINED_BUNDLE, "checkpoint bundle", "the name of a bundle"
    )


class LookConfig(RunConfig):
    """Parameters of what CLIP, the detector and SSV2A see in a picture."""

    geometry: Literal["squash", "crop"] = parameter(
        "squash", "how image and mask become 224 x 224 px", '"squash" or "crop"'
    )
    locals: LocalsConfig = LocalsConfig()
    remix: RemixConfig = RemixConfig()


class SoundConfig(RenderConfig, LookConfig):
    """Parameters of every method that looks at a picture and makes sound by SSV2A and AudioLDM."""


def look_at(picture: str) -> Iterable[Node]:
    """What is seen in one picture: `<picture>.image`, `.tokens` and `.locals`.

    Args:
        picture: name of the file, and of the group of nodes.
    """
    yield read_picture(picture)
    yield Node(name=f"{picture}.tokens", stage=TOKENS, inputs={"pixels": f"{picture}.image.pixels"})
    yield Node(name=f"{picture}.locals", stage=LOCALS, inputs={"pixels": f"{picture}.image.pixels"})


def read_picture(picture: str) -> Node:
    """The pixels of a picture: `<picture>.image`."""
    return Node(name=f"{picture}.image", stage=IMAGE, inputs={"file": f"file:{picture}"})


def segment(region: str, *, picture: str, points: str) -> Node:
    """The mask of what was clicked on: `<region>.mask`.

    Args:
        region: group of the node.
        picture: in which picture.
        points: dotted name of the parameter that holds the clicks.
    """
    inputs = {"pixels": f"{picture}.image.pixels"}
    return Node(name=f"{region}.mask", stage=MASK, inputs=inputs, parameters={"points": points})


def segment_object(group: str, *, picture: str, prompt: ObjectPrompt, name: str) -> Iterable[Node]:
    """The mask of an object, from whatever it was given by: `<group>.mask`, whose output is `mask`.

    Args:
        group: group of the node.
        picture: in which picture.
        prompt: clicks, a box, or a mask file.
        name: dotted name of the prompt in the configuration, and of its mask file in the workflow: "remove.cat".
    """
    pixels = f"{picture}.image.pixels"
    if prompt.mask is not None:
        yield Node(name=f"{group}.mask", stage=MASK_FILE, inputs={"file": f"file:{name}", "pixels": pixels})
    elif prompt.box is not None:
        places = {"box": f"{name}.box", "points": f"{name}.points"}
        yield Node(name=f"{group}.mask", stage=BOX_MASK, inputs={"pixels": pixels}, parameters=places)
    else:
        yield segment(group, picture=picture, points=f"{name}.points")


def segment_region(
    group: str, *, picture: str, region: tuple[Point, ...] | Mapping[str, ObjectPrompt], name: str
) -> Iterable[Node]:
    """The mask of a region: `<group>.mask`; of several objects, each is `<group>.<object>.mask`, and they are united.

    Args:
        group: group of the node.
        picture: in which picture.
        region: clicks, or objects by their names.
        name: dotted name of the parameter.
    """
    if not isinstance(region, Mapping):
        yield segment(group, picture=picture, points=name)
    elif len(region) == 1:
        ((only, prompt),) = region.items()
        yield from segment_object(group, picture=picture, prompt=prompt, name=f"{name}.{only}")
    else:
        for each, prompt in region.items():
            yield from segment_object(f"{group}.{each}", picture=picture, prompt=prompt, name=f"{name}.{each}")
        masks = {f"masks.{each}": f"{group}.{each}.mask.mask" for each in region}
        yield Node(name=f"{group}.mask", stage=UNITE, inputs=masks)


def mask_files(region: tuple[Point, ...] | Mapping[str, ObjectPrompt], name: str) -> dict[str, ConfiguredFile]:
    """The mask files of a region, or of a table of objects, by their names in the workflow: "remove.cat".

    Args:
        region: clicks, or objects by their names.
        name: dotted name of the parameter.
    """
    prompts = region if isinstance(region, Mapping) else {}
    return {
        f"{name}.{each}": ConfiguredFile(kind=MASK_OF_OBJECT, path=Path(prompt.mask))
        for each, prompt in prompts.items()
        if prompt.mask is not None
    }


def synthesize(sound: str, config: SoundConfig, *, embedding: str, objects: str) -> Iterable[Node]:
    """From a global embedding and objects to a scored sound: `<sound>.remix` to `<sound>.scores`.

    Args:
        sound: group of the nodes.
        config: which nodes there are.
        embedding: `node.output` of a CLIP embedding.
        objects: `node.output` of the objects' CLIP embeddings.
    """
    yield Node(name=f"{sound}.remix", stage=REMIX, inputs={"embedding": embedding, "locals": objects})
    yield from render(sound, config, clap=f"{sound}.remix.clap")


def render(sound: str, config: RenderConfig, *, clap: str, away: str | None = None) -> Iterable[Node]:
    """From a CLAP embedding to a scored sound: `<sound>.diffuse` to `<sound>.scores`. Arguments as of `generate`."""
    yield from generate(sound, config, clap=clap, away=away)
    yield from finish(sound, config, waveform=chosen(sound, config))
    yield score(sound, waveform=chosen(sound, config))


def generate(sound: str, config: RenderConfig, *, clap: str, away: str | None = None) -> Iterable[Node]:
    """From a CLAP embedding to a sound: `<sound>.diffuse` to `<sound>.choose`, and `<sound>.pick` of a user's choice.

    Args:
        sound: group of the nodes.
        config: which nodes there are.
        clap: `node.output` of the CLAP embedding.
        away: `node.output` of the one that the sound is led away from, instead of that of the empty text.
    """
    inputs = {"clap": clap} if away is None else {"clap": clap, "away": away}
    stage = _diffuse(config) if away is None else DIFFUSE_AWAY
    yield Node(name=f"{sound}.diffuse", stage=stage, inputs=inputs)
    yield Node(name=f"{sound}.decode", stage=DECODE, inputs={"latents": f"{sound}.diffuse.latents"})
    yield Node(name=f"{sound}.vocode", stage=VOCODE, inputs={"mel": f"{sound}.decode.mel"})
    choose = {"waveforms": f"{sound}.vocode.waveforms", "clap": clap}
    yield Node(name=f"{sound}.choose", stage=CHOOSE, inputs=choose)
    if config.generate.pick != BEST:
        yield Node(name=f"{sound}.pick", stage=PICK, inputs={"waveforms": f"{sound}.vocode.waveforms"})


def chosen(sound: str, config: RenderConfig) -> str:
    """The output of `generate` that holds the waveform that is kept."""
    return f"{sound}.{'choose' if config.generate.pick == BEST else 'pick'}.waveform"


def score(sound: str, *, waveform: str) -> Node:
    """The class scores of a sound: `<sound>.scores`.

    Args:
        sound: group of the node.
        waveform: `node.output` of the sound.
    """
    return Node(name=f"{sound}.scores", stage=SCORES, inputs={"waveform": waveform})


def finish(sound: str, config: RenderConfig, *, waveform: str) -> Iterable[Node]:
    """A sound without offset and clicks, at the loudness of all sounds: `<sound>.finish`, unless that is switched off.

    Args:
        sound: group of the node.
        config: which nodes there are.
        waveform: `node.output` of the sound.
    """
    if config.finish.form == "clean":
        yield Node(name=f"{sound}.finish", stage=FINISH, inputs={"waveform": waveform})


def sounds_of(config: RenderConfig, sounds: Iterable[str]) -> Mapping[str, str]:
    """Name of each sound → the output of `render` that holds its waveform."""
    clean = config.finish.form == "clean"
    return {sound: f"{sound}.finish.waveform" if clean else chosen(sound, config) for sound in sounds}


def scores_of(sounds: Iterable[str]) -> Mapping[str, str]:
    """Name of each sound → the output of `render` that holds its class scores."""
    return {sound: f"{sound}.scores.scores" for sound in sounds}


def targets_of(config: RenderConfig, sounds: Iterable[str]) -> tuple[str, ...]:
    """The nodes of `render` that no other node reads, one sound after the other."""
    ends = ("finish", "scores") if config.finish.form == "clean" else ("scores",)
    return tuple(f"{sound}.{end}" for sound in sounds for end in ends)


def _diffuse(config: RenderConfig) -> Stage:
    """The diffusion: three candidates have the same noise and the same bytes in both forms, and so the older one."""
    three = config.generate.candidates == N_TOGETHER
    return DIFFUSE if three or config.generate.noise == "joint" else DIFFUSE_EACH


def check_generator(request: Request, store: Store | None) -> None:
    """Make sure that the backend is installed and has the scheduler.

    Raises:
        ConfigError: it is not, or has not.
    """
    del store
    from svdaudio.models.audioldm.settings import check_backend

    if any("backend" in node.stage.parameters for node in request.nodes):
        check_backend(request.config.generate.backend, request.config.generate.scheduler)


def check_texts(request: Request, store: Store | None) -> None:
    """Make sure that the bundle can embed every text: a bundle may know some texts only.

    Raises:
        ConfigError: it cannot.
    """
    del store
    for node in request.nodes:
        known = request.bundle.classes("text_encoder") if node.stage is DESCRIBE else ()
        if known:
            check_text(request.config.value(node.bindings["text"]), known)


def check_clicks(request: Request, store: Store | None) -> None:
    """Make sure that every mask has a prompt, and that clicks, boxes and mask files fit their pictures.

    Raises:
        InputError: one is missing, lies outside its picture, or has another size.
    """
    for node in request.nodes:
        if node.stage not in (MASK, BOX_MASK, MASK_FILE):
            continue
        picture = node.inputs["pixels"].partition(".")[0]
        size = _size(request, picture, store)
        path = request.files[picture]
        where = f"the image {path.name}"
        if node.stage is MASK_FILE:
            _check_mask_file(request, node, size, where)
            continue
        name = node.bindings["points"].removesuffix(".points").removesuffix(".object")  # what has no name is "object"
        points = cast("list[Point]", request.config.value(node.bindings["points"]))
        if node.stage is BOX_MASK:
            _check_box(request.config.value(node.bindings["box"]), name, size, where)
        elif not any(label == 1 for _, _, label in points):
            raise InputError(
                f"there is no click for '{name}'",
                fix=f"give {_prompt_text(name)}, in pixels of the {request.description(picture)} {path.name}",
            )
        width, height = size
        for x, y, _ in points:
            if not (0 <= x < width and 0 <= y < height):
                raise InputError(
                    f"the click '{name}' is outside {where}",
                    expected=f"x in 0..{width - 1}, y in 0..{height - 1}",
                    got=f"({x:g}, {y:g})",
                )


def _prompt_text(name: str) -> str:
    option, _, entry = name.partition(".")
    return f"{entry}=X,Y" if entry else f"--{option} X,Y"


def _check_box(box: tuple[float, float, float, float], name: str, size: tuple[int, int], where: str) -> None:
    left, top, right, bottom = box
    width, height = size
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise InputError(
            f"the box '{name}' is empty or reaches outside {where}",
            expected=f"LEFT < RIGHT in 0..{width}, TOP < BOTTOM in 0..{height}",
            got=f"({', '.join(f'{value:g}' for value in box)})",
        )


def _check_mask_file(request: Request, node: Node, size: tuple[int, int], where: str) -> None:
    from svdaudio.svd.masks import check_mask_size, load_mask

    path = request.files[node.inputs["file"].removeprefix("file:")]
    check_mask_size(load_mask(path).shape[::-1], size, mask=path.name, picture=where)


def _size(request: Request, picture: str, store: Store | None) -> tuple[int, int]:
    """Width and height: of the stored pixels, which saves opening the file and importing what opens it."""
    shape = request.known_shape(picture, store)
    if shape is not None and len(shape) == 3:  # a record of another shape is not believed
        return shape[1], shape[0]
    from svdaudio.svd.images import upright_size

    return upright_size(request.files[picture])
