"""`svdaudio mix` and `svdaudio mute`: the sound of a picture with a gain for each object."""

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
        help="An object: a click X,Y (X,Y,0 excludes what is there), a box LEFT,TOP,RIGHT,BOTTOM, or a mask file. "
        "Repeatable.",
    ),
]  # fmt: skip
SoundOption = Annotated[
    list[str] | None,
    typer.Option(
        "--sound", metavar="[NAME=]FILE",
        help="A sound file to mix in, named after the file unless NAME is given. Repeatable.",
    ),
]  # fmt: skip
TextOption = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="[NAME=]TEXT", help="A text whose sound is mixed in. Repeatable."),
]
WithoutText = Annotated[
    str | None,
    typer.Option("--without-text", metavar="TEXT", help="A negative prompt: guidance leads away from its sound."),
]
AllObjects = Annotated[
    bool, typer.Option("--all-objects", help="Add every object that the detector finds, named after its class.")
]
GainOption = Annotated[
    list[str] | None,
    typer.Option(
        "--gain", metavar="NAME=DB",
        help="Gain in dB (-6, +3, -inf) of an object, a sound, a text, or 'rest', the picture outside all objects. "
        "Repeatable.",
    ),
]  # fmt: skip
Stems = Annotated[
    bool, typer.Option("--stems", help="Generate one sound for each object and one for the rest, and mix them.")
]
StemsOut = Annotated[
    Path | None,
    typer.Option(
        "--stems-out", metavar="FILE", parser=options.user_path,
        help="With --stems, also write all stems to one file with a channel for each: .wav, .flac or .ogg.",
    ),
]  # fmt: skip
Prompts = Annotated[
    list[str],
    typer.Argument(metavar="X,Y…", help="Clicks on the object, a box, or a mask file; NAME=X,Y for several objects."),
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
    execution: options.Execution,
) -> None:
    """Generate the sound of a picture with a gain for each object, and with added sounds and texts.

    Without --stems, objects are faded in the picture before its sound is generated: at 0 dB nothing changes, and at
    -inf an object is gone. With --stems, each object has its own sound, and its gain is the exact level in the mix.
    """
    from svdaudio.config import collect_objects, collect_sources
    from svdaudio.errors import InputError

    if stems_out is not None and not stems:
        raise InputError("--stems-out would have no effect without --stems", fix="add --stems, or omit it")
    found = collect_objects(objects or ())
    settings = {
        "sounds": collect_sources(sounds or ()),
        "texts": collect_sources(texts or ()),
        "gains": collect_gains(gains or ()),
        "without_text": without_text,
        "form": "stems" if stems else None,
    }
    run_with_objects(
        "mixer", image, found, settings, parameters, out, execution, all_objects=all_objects, stems_out=stems_out
    )


@grouped
def mute(
    image: options.Image,
    prompts: Prompts,
    *,
    parameters: options.SoundParameters,
    out: options.OutOptions,
    execution: options.Execution,
) -> None:
    """Generate the sound of a picture without an object. Short for `mix` with a gain of -inf."""
    from svdaudio.config import collect_objects

    found = {name or "object": prompt for name, prompt in collect_objects(prompts).items()}
    run_with_objects("mixer", image, found, {"gains": dict.fromkeys(found, "-inf")}, parameters, out, execution)


def run_with_objects(
    method: str,
    image: Path,
    objects: dict[str, Any],
    settings: Mapping[str, Any],
    parameters: options.SoundParameters,
    out: options.OutOptions,
    execution: options.Execution,
    *,
    all_objects: bool = False,
    stems_out: Path | None = None,
) -> None:
    """Run a method on a picture and its objects, and print the result.

    Raises:
        InputError: an object has no name.
    """
    from svdaudio.cli import sessions
    from svdaudio.errors import InputError
    from svdaudio.views.outputs import write_stems

    begun = time.perf_counter()
    sessions.check_sound_out(out, inputs=(image,))
    if stems_out is not None:
        sessions.check_sound_out(options.OutOptions(path=stems_out), inputs=(image,))
    if "" in objects:
        raise InputError("an object has no name", expected="--object NAME=X,Y", got="--object X,Y")
    session = sessions.open_session(execution.store, execution.open_runner())
    if all_objects:
        objects = {**_detected(session, image, parameters), **objects}
    request = sessions.request_of(session, method, [image], parameters, {**settings, "objects": objects})
    result = sessions.run_request(session, request, out)
    if stems_out is not None:
        write_stems(result.report, result.run, request.method, stems_out, out.rate_hz)
    print_result(result, begun, as_json=execution.as_json)


def collect_gains(texts: Sequence[str]) -> dict[str, str]:
    """Name → gain from the texts of `--gain`, as they were typed.

    Raises:
        InputError: a text is not NAME=DB, or a name has two gains.
    """
    from svdaudio.errors import InputError

    found: dict[str, str] = {}
    for text in texts:
        name, equals, gain = (part.strip() for part in text.partition("="))
        if not (name and equals and gain):
            raise InputError("a gain cannot be read", expected="NAME=DB, such as cat=-6", got=repr(text))
        if name in found and found[name] != gain:
            raise InputError(f"'{name}' has two gains", got=f"{found[name]} and {gain}", fix="keep one of them")
        found[name] = gain
    return found


def _detected(session: Session, image: Path, parameters: options.SoundParameters) -> dict[str, Any]:
    """Name → box of each object that the detector finds in a picture, named after its class.

    Raises:
        InputError: no object is detected.
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
