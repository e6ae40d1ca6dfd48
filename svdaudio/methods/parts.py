"""What methods share: kinds of files, configurations, pieces of workflows, and checks.

A piece of a workflow is a function that returns nodes. `x: node.output` in its arguments is the name of an output of
another node, such as "original.image.pixels".
"""

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

PICTURE = FileKind(name="picture", checker="svdaudio.svd.image_files:upright_size")
MASK_OF_OBJECT = FileKind(name="mask", checker="svdaudio.svd.masks:check_mask_file")
BEST = "best"
SOUND = FileKind(name="sound", checker="svdaudio.sounds.reading:sound_facts")


class RenderConfig(RunConfig):
    """Parameters of every method that generates sound with AudioLDM."""

    generate: GenerateConfig = GenerateConfig()
    finish: FinishConfig = FinishConfig()


class PretrainedConfig(RunConfig):
    """Parameters of methods whose models were pretrained on pictures, sounds and texts."""

    bundle: Annotated[str, Field(min_length=1)] = parameter(
        PRETRAINED_BUNDLE, "checkpoint bundle", "the name of a bundle"
    )


class ConditioningConfig(RunConfig):
    """Parameters that turn a picture into a CLAP embedding, by CLIP, the detector and SSV2A."""

    geometry: Literal["squash", "crop"] = parameter("squash", "how pictures become square", '"squash" or "crop"')
    locals: LocalsConfig = LocalsConfig()
    remix: RemixConfig = RemixConfig()


class SoundConfig(RenderConfig, ConditioningConfig):
    """Parameters of every method that generates the sound of a picture with SSV2A and AudioLDM."""


def encode_picture(picture: str) -> Iterable[Node]:
    """The picture, its CLIP tokens and its detected objects: `<picture>.image`, `.tokens` and `.locals`.

    Args:
        picture: name of the file, and group of the nodes.
    """
    yield read_picture(picture)
    yield Node(name=f"{picture}.tokens", stage=TOKENS, inputs={"pixels": f"{picture}.image.pixels"})
    yield Node(name=f"{picture}.locals", stage=LOCALS, inputs={"pixels": f"{picture}.image.pixels"})


def read_picture(picture: str) -> Node:
    """The pixels of a picture: `<picture>.image`."""
    return Node(name=f"{picture}.image", stage=IMAGE, inputs={"file": f"file:{picture}"})


def segment(region: str, *, picture: str, points: str) -> Node:
    """The mask of the object under some clicks: `<region>.mask`.

    Args:
        region: group of the node.
        picture: group of the picture's nodes.
        points: dotted name of the parameter that holds the clicks.
    """
    inputs = {"pixels": f"{picture}.image.pixels"}
    return Node(name=f"{region}.mask", stage=MASK, inputs=inputs, parameters={"points": points})


def segment_object(group: str, *, picture: str, prompt: ObjectPrompt, name: str) -> Iterable[Node]:
    """The mask of an object, from clicks, a box or a mask file: `<group>.mask`, whose output is `mask`.

    Args:
        group: group of the node.
        picture: group of the picture's nodes.
        prompt: the clicks, the box or the mask file.
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
    """The mask of a region, `<group>.mask`: the union of `<group>.<object>.mask` if the region has several objects.

    Args:
        group: group of the node.
        picture: group of the picture's nodes.
        region: clicks, or objects by name.
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
    """The mask files of a region or a table of objects, by their names in the workflow: "remove.cat".

    Args:
        region: clicks, or objects by name.
        name: dotted name of the parameter.
    """
    prompts = region if isinstance(region, Mapping) else {}
    return {
        f"{name}.{each}": ConfiguredFile(kind=MASK_OF_OBJECT, path=Path(prompt.mask))
        for each, prompt in prompts.items()
        if prompt.mask is not None
    }


def plain_sound(picture: str, config: SoundConfig) -> Iterable[Node]:
    """The sound of an encoded picture by plain SSV2A: `<picture>.remix` to `<picture>.scores`."""
    embeddings = {"embedding": f"{picture}.tokens.embedding", "objects": f"{picture}.locals.embeddings"}
    return synthesize(picture, config, **embeddings)


def synthesize(sound: str, config: SoundConfig, *, embedding: str, objects: str) -> Iterable[Node]:
    """A scored sound from a global embedding and objects, by SSV2A: `<sound>.remix` to `<sound>.scores`.

    Args:
        sound: group of the nodes.
        config: decides which nodes there are.
        embedding: `node.output` of the global CLIP embedding.
        objects: `node.output` of the objects' CLIP embeddings.
    """
    yield Node(name=f"{sound}.remix", stage=REMIX, inputs={"embedding": embedding, "locals": objects})
    yield from render(sound, config, clap=f"{sound}.remix.clap")


def render(sound: str, config: RenderConfig, *, clap: str, negative: str | None = None) -> Iterable[Node]:
    """A scored sound from a CLAP embedding: `<sound>.diffuse` to `<sound>.scores`. Arguments as for `generate`."""
    yield from generate(sound, config, clap=clap, negative=negative)
    yield from finish(sound, config, waveform=kept_waveform(sound, config))
    yield score(sound, waveform=kept_waveform(sound, config))


def generate(sound: str, config: RenderConfig, *, clap: str, negative: str | None = None) -> Iterable[Node]:
    """A sound from a CLAP embedding: `<sound>.diffuse` to `<sound>.choose`; `<sound>.pick` if the user picked one.

    Args:
        sound: group of the nodes.
        config: decides which nodes there are.
        clap: `node.output` of the CLAP embedding.
        negative: `node.output` of the CLAP embedding that guidance steers away from, by default that of the empty text.
    """
    inputs = {"clap": clap} if negative is None else {"clap": clap, "away": negative}
    stage = _diffuse_stage(config) if negative is None else DIFFUSE_AWAY
    yield Node(name=f"{sound}.diffuse", stage=stage, inputs=inputs)
    yield Node(name=f"{sound}.decode", stage=DECODE, inputs={"latents": f"{sound}.diffuse.latents"})
    yield Node(name=f"{sound}.vocode", stage=VOCODE, inputs={"mel": f"{sound}.decode.mel"})
    choose = {"waveforms": f"{sound}.vocode.waveforms", "clap": clap}
    yield Node(name=f"{sound}.choose", stage=CHOOSE, inputs=choose)
    if config.generate.pick != BEST:
        yield Node(name=f"{sound}.pick", stage=PICK, inputs={"waveforms": f"{sound}.vocode.waveforms"})


def kept_waveform(sound: str, config: RenderConfig) -> str:
    """The output of `generate` with the waveform of the candidate that is kept."""
    return f"{sound}.{'choose' if config.generate.pick == BEST else 'pick'}.waveform"


def score(sound: str, *, waveform: str) -> Node:
    """The class scores of a sound: `<sound>.scores`.

    Args:
        sound: group of the node.
        waveform: `node.output` of the sound.
    """
    return Node(name=f"{sound}.scores", stage=SCORES, inputs={"waveform": waveform})


def finish(sound: str, config: RenderConfig, *, waveform: str) -> Iterable[Node]:
    """A sound without offset and clicks, at the common loudness: `<sound>.finish`, unless finishing is switched off.

    Args:
        sound: group of the node.
        config: decides which nodes there are.
        waveform: `node.output` of the sound.
    """
    if config.finish.form == "clean":
        yield Node(name=f"{sound}.finish", stage=FINISH, inputs={"waveform": waveform})


def sound_outputs(config: RenderConfig, sounds: Iterable[str]) -> Mapping[str, str]:
    """Name of each sound → the output of `render` with its waveform."""
    clean = config.finish.form == "clean"
    return {sound: f"{sound}.finish.waveform" if clean else kept_waveform(sound, config) for sound in sounds}


def score_outputs(sounds: Iterable[str]) -> Mapping[str, str]:
    """Name of each sound → the output of `render` with its class scores."""
    return {sound: f"{sound}.scores.scores" for sound in sounds}


def final_nodes(config: RenderConfig, sounds: Iterable[str]) -> tuple[str, ...]:
    """The last nodes of `render`, which no other node reads, sound by sound."""
    ends = ("finish", "scores") if config.finish.form == "clean" else ("scores",)
    return tuple(f"{sound}.{end}" for sound in sounds for end in ends)


def _diffuse_stage(config: RenderConfig) -> Stage:
    """The stage of diffusion. Three candidates get the same bytes from both stages, so the older one keeps its keys."""
    three = config.generate.candidates == N_TOGETHER
    return DIFFUSE if three or config.generate.noise == "joint" else DIFFUSE_EACH


def check_generator(request: Request, store: Store | None) -> None:
    """Check that the backend is installed and has the scheduler.

    Raises:
        ConfigError: the backend is not installed, or lacks the scheduler.
    """
    del store
    from svdaudio.models.audioldm.settings import check_backend

    if any("backend" in node.stage.parameters for node in request.nodes):
        check_backend(request.config.generate.backend, request.config.generate.scheduler)


def check_texts(request: Request, store: Store | None) -> None:
    """Check that the bundle can embed every text: some bundles know certain texts only.

    Raises:
        ConfigError: the bundle does not know a text.
    """
    del store
    for node in request.nodes:
        known = request.bundle.classes("text_encoder") if node.stage is DESCRIBE else ()
        if known:
            check_text(request.config.value(node.bindings["text"]), known)


def check_clicks(request: Request, store: Store | None) -> None:
    """Check that every mask has a prompt, and that clicks, boxes and mask files fit their pictures.

    Raises:
        InputError: a prompt is missing or outside its picture, or a mask file has another size.
    """
    for node in request.nodes:
        if node.stage not in (MASK, BOX_MASK, MASK_FILE):
            continue
        picture = node.inputs["pixels"].partition(".")[0]
        size = _picture_size(request, picture, store)
        path = request.files[picture]
        where = f"the picture {path.name}"
        if node.stage is MASK_FILE:
            _check_mask_file(request, node, size, where)
            continue
        name = node.bindings["points"].removesuffix(".points").removesuffix(".object")  # unnamed clicks are "object"
        points = cast("list[Point]", request.config.value(node.bindings["points"]))
        if node.stage is BOX_MASK:
            _check_box(request.config.value(node.bindings["box"]), name, size, where)
        elif not any(label == 1 for _, _, label in points):
            raise InputError(
                f"no click given for '{name}'",
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


def _picture_size(request: Request, picture: str, store: Store | None) -> tuple[int, int]:
    """Width and height, from the record of the decoded picture if there is one: that saves opening the file."""
    shape = request.known_shape(picture, store)
    if shape is not None and len(shape) == 3:  # any other shape is not a picture's
        return shape[1], shape[0]
    from svdaudio.svd.image_files import upright_size

    return upright_size(request.files[picture])
