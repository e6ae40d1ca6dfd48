"""`svdaudio mix` and `svdaudio mute`: a gain for each object of a picture."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdaudio.cli import options
from svdaudio.cli.grouped import grouped
from svdaudio.cli.run import print_result

if TYPE_CHECKING:
    from svdaudio.session import Session

ObjectOption = Annotated[
    list[str] | None,
    typer.Option(
        "--object", metavar="NAME=PROMPT",
        help="An object: a click X,Y, a box LEFT,TOP,RIGHT,BOTTOM, or a mask file. X,Y,0 excludes. Repeatable.",
    ),
]  # fmt: skip
SoundOption = Annotated[
    list[str] | None,
    typer.Option(
        "--sound", metavar="[NAME=]FILE",
        help="A sound beside the picture: a sound file, whose name it has unless one is given. Repeatable.",
    ),
]  # fmt: skip
TextOption = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="[NAME=]TEXT", help="A text whose sound is beside the picture. Repeatable."),
]
WithoutText = Annotated[
    str | None,
    typer.Option("--without-text", metavar="TEXT", help="A text whose sound guidance leads away from."),
]
AllObjects = Annotated[
    bool, typer.Option("--all-objects", help="Every object that the detector finds, named by its class.")
]
GainOption = Annotated[
    list[str] | None,
    typer.Option(
        "--gain", metavar="NAME=DB",
        help="Gain in dB of an object, a sound, a text, or 'rest', all that is in no object: -6, +3, -inf. Repeatable.",
    ),
]  # fmt: skip
Stems = Annotated[bool, typer.Option("--stems", help="A sound of each object and of the rest; the mix is their sum.")]
StemsOut = Annotated[
    Path | None,
    typer.Option(
        "--stems-out", metavar="FILE", parser=options.user_path, show_default=False,
        help="With --stems: also write all stems into one file, a channel for each: .wav, .flac or .ogg.",
    ),
]  # fmt: skip
Prompts = Annotated[
    list[str],
    typer.Argument(
        metavar="X,Y…", help="Clicks on the object, a box, or a mask file; NAME=X,Y for several.", show_default=False
    ),
]


@grouped
def mix(
    image: options.Image,
    *,
    objects: ObjectOption = None,
    all_objects: AllObjects = False,
    sounds: SoundOption = None,
    texts: TextOption = None,
    gains: GainOption = None,
    without_text: WithoutText = None,
    stems: Stems = False,
    stems_out: StemsOut = None,
    parameters: options.SoundParameters,
    out: options.OutOptions,
    store: options.Store = None,
    runner: options.RunnerOptions,
    as_json: options.Json = False,
) -> None:
    """The mixer: one picture, any number of objects, sounds and texts, a gain for each.

    Without --stems the objects are faded in the picture, before its sound is made: at 0 dB nothing changes, at -inf an
    object is gone. With --stems each object has a sound of its own, and a gain is its exact level in the sum.
    """
    from svdaudio.config import collect_objects, collect_sources
    from svdaudio.errors import InputError

    if stems_out is not None and not stems:
        raise InputError("--stems-out would have no effect without --stems", fix="add --stems, or omit it")
    found: dict[str, Any] = collect_objects(objects or ())
    given = {
        "sounds": collect_sources(sounds or ()),
        "texts": collect_sources(texts or ()),
        "gains": collect_gains(gains or ()),
        "without_text": without_text,
        "form": "stems" if stems else None,
    }
    _mix(
        image, found, given, parameters, all_objects=all_objects, out=out, stems_out=stems_out, store=store,
        runner=runner, as_json=as_json,
    )  # fmt: skip


@grouped
def mute(
    image: options.Image,
    prompts: Prompts,
    *,
    parameters: options.SoundParameters,
    out: options.OutOptions,
    store: options.Store = None,
    runner: options.RunnerOptions,
    as_json: options.Json = False,
) -> None:
    """Silence an object: the sound of the picture without it. Short for `mix` with a gain of -inf."""
    from svdaudio.config import collect_objects

    found = {name or "object": prompt for name, prompt in collect_objects(prompts).items()}
    given = {"gains": dict.fromkeys(found, "-inf")}
    _mix(image, found, given, parameters, out=out, store=store, runner=runner, as_json=as_json)


def _mix(
    image: Path,
    objects: dict[str, Any],
    given: Mapping[str, Any],
    parameters: options.SoundParameters,
    *,
    all_objects: bool = False,
    out: options.OutOptions,
    stems_out: Path | None = None,
    store: str | None,
    runner: options.RunnerOptions,
    as_json: bool,
) -> None:
    from svdaudio.cli import sessions
    from svdaudio.views.outputs import write_stems

    begun = time.perf_counter()
    sessions.check_sound_out(out, inputs=(image,))
    if stems_out is not None:
        sessions.check_sound_out(options.OutOptions(path=stems_out), inputs=(image,))
    check_names(objects)
    session = sessions.open_session(store, runner.open())
    if all_objects:
        objects = {**_detected(session, image, parameters), **objects}
    settings = {**given, "objects": objects}
    request = sessions.request_of(session, "mixer", [image], parameters, settings)
    result = sessions.run_request(session, request, out)
    if stems_out is not None:
        write_stems(result.report, result.run, request.method, stems_out, out.rate_hz)
    print_result(result, begun, as_json=as_json)


def check_names(objects: Mapping[str, Any]) -> None:
    """Make sure that every object of `--object` has a name.

    Raises:
        InputError: one has none.
    """
    from svdaudio.errors import InputError

    if "" in objects:
        raise InputError("an object has no name", expected="--object NAME=X,Y", got="--object X,Y")


def collect_gains(texts: Sequence[str]) -> dict[str, str]:
    """The gains of `--gain` by name, as they were typed.

    Raises:
        InputError: one cannot be read, or a name has two.
    """
    from svdaudio.errors import InputError

    found: dict[str, str] = {}
    for text in texts:
        name, equals, gain = (part.strip() for part in text.partition("="))
        if not (name and equals and gain):
            raise InputError("a gain cannot be read", expected="NAME=DB", got=repr(text), fix="write it like cat=-6")
        if name in found and found[name] != gain:
            raise InputError(f"'{name}' has two gains", got=f"{found[name]} and {gain}", fix="keep one of them")
        found[name] = gain
    return found


def _detected(session: Session, image: Path, parameters: options.SoundParameters) -> dict[str, Any]:
    """What the detector finds in a picture, as objects with boxes, named by their classes.

    Raises:
        InputError: it finds nothing.
    """
    from svdaudio.cli import sessions
    from svdaudio.errors import InputError

    request = sessions.request_of(session, "baseline", [image], parameters, targets=("original.locals",))
    with sessions.show_progress() as progress:
        run = session.run(request, progress=progress, record=False).run
    arrays = session.arrays(run)
    seen = arrays["original.locals"]
    known = [re.sub(r"[^a-z0-9]+", "-", name.lower()) for name in arrays.classes("detector")]
    classes = [known[int(index)] for index in seen["classes"]]
    if not classes:
        raise InputError(f"no object is detected in {image}", fix="give --object NAME=X,Y")
    names = [
        name if classes.count(name) == 1 else f"{name}{classes[:place].count(name) + 1}"
        for place, name in enumerate(classes)
    ]
    return {name: {"box": box} for name, box in zip(names, seen["boxes"].astype(float).round(2).tolist(), strict=True)}
