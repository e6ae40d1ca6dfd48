"""What several methods have in common: kinds of files, checks, and pieces of workflows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal, cast

from svdaudio.config import FinishConfig, GenerateConfig, LocalsConfig, Point, RemixConfig, RunConfig, parameter
from svdaudio.engine.method import FileKind
from svdaudio.engine.request import Request
from svdaudio.engine.stage import Node
from svdaudio.errors import InputError
from svdaudio.methods.stages import (
    CHOOSE,
    DECODE,
    DIFFUSE,
    FINISH,
    IMAGE,
    LOCALS,
    MASK,
    REMIX,
    SCORES,
    TOKENS,
    VOCODE,
)

if TYPE_CHECKING:
    from svdaudio.store.base import Store

PICTURE = FileKind(name="picture", checker="svdaudio.svd.images:upright_size")
SOUND = FileKind(name="sound", checker="svdaudio.sounds:sound_facts")


class SoundConfig(RunConfig):
    """Parameters of every method that looks at a picture and makes sound by SSV2A and AudioLDM."""

    geometry: Literal["squash", "crop"] = parameter(
        "squash", "how image and mask become 224 x 224 px", '"squash" or "crop"'
    )
    locals: LocalsConfig = LocalsConfig()
    remix: RemixConfig = RemixConfig()
    generate: GenerateConfig = GenerateConfig()
    finish: FinishConfig = FinishConfig()


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


def render(sound: str, config: SoundConfig, *, clap: str) -> Iterable[Node]:
    """From a CLAP embedding to a scored sound: `<sound>.diffuse` to `<sound>.scores`.

    Args:
        sound: group of the nodes.
        config: which nodes there are.
        clap: `node.output` of the CLAP embedding.
    """
    yield Node(name=f"{sound}.diffuse", stage=DIFFUSE, inputs={"clap": clap})
    yield Node(name=f"{sound}.decode", stage=DECODE, inputs={"latents": f"{sound}.diffuse.latents"})
    yield Node(name=f"{sound}.vocode", stage=VOCODE, inputs={"mel": f"{sound}.decode.mel"})
    choose = {"waveforms": f"{sound}.vocode.waveforms", "clap": clap}
    yield Node(name=f"{sound}.choose", stage=CHOOSE, inputs=choose)
    waveform = f"{sound}.choose.waveform"
    if config.finish.form == "clean":
        yield Node(name=f"{sound}.finish", stage=FINISH, inputs={"waveform": waveform})
    yield Node(name=f"{sound}.scores", stage=SCORES, inputs={"waveform": waveform})


def sounds_of(config: SoundConfig, sounds: Iterable[str]) -> Mapping[str, str]:
    """Name of each sound → the output of `render` that holds its waveform."""
    last = "finish" if config.finish.form == "clean" else "choose"
    return {sound: f"{sound}.{last}.waveform" for sound in sounds}


def scores_of(sounds: Iterable[str]) -> Mapping[str, str]:
    """Name of each sound → the output of `render` that holds its class scores."""
    return {sound: f"{sound}.scores.scores" for sound in sounds}


def targets_of(config: SoundConfig, sounds: Iterable[str]) -> tuple[str, ...]:
    """The nodes of `render` that no other node reads, one sound after the other."""
    ends = ("finish", "scores") if config.finish.form == "clean" else ("scores",)
    return tuple(f"{sound}.{end}" for sound in sounds for end in ends)


def check_generator(request: Request, store: Store | None) -> None:
    """Make sure that the backend is installed and has the scheduler.

    Raises:
        ConfigError: it is not, or has not.
    """
    del store
    from svdaudio.models.audioldm.settings import check_backend

    if any(node.stage is DIFFUSE for node in request.nodes):
        check_backend(request.config.generate.backend, request.config.generate.scheduler)


def check_clicks(request: Request, store: Store | None) -> None:
    """Make sure that every mask has an include click, and that clicks lie inside their pictures.

    Raises:
        InputError: one is missing or outside.
    """
    for node in request.nodes:
        if node.stage is not MASK:
            continue
        name = node.bindings["points"]
        points = cast("list[Point]", request.config.value(name))
        picture = node.inputs["pixels"].partition(".")[0]
        if not any(label == 1 for _, _, label in points):
            raise InputError(
                f"there is no click for '{name}'", fix=f"give --{name} X,Y, in pixels of the {picture} picture"
            )
        width, height = _size(request, picture, store)
        for x, y, _ in points:
            if not (0 <= x < width and 0 <= y < height):
                raise InputError(
                    f"the click '{name}' is outside the image {request.files[picture].name}",
                    expected=f"x in 0..{width - 1}, y in 0..{height - 1}",
                    got=f"({x:g}, {y:g})",
                )


def _size(request: Request, picture: str, store: Store | None) -> tuple[int, int]:
    """Width and height: of the stored pixels, which saves opening the file and importing what opens it."""
    shape = request.known_shape(picture, store)
    if shape is not None and len(shape) == 3:  # a record of another shape is not believed
        return shape[1], shape[0]
    from svdaudio.svd.images import upright_size

    return upright_size(request.files[picture])
