"""`svdaudio hear`: the labels and pictures that are nearest to a sound in CLIP's space."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdaudio.cli import options
from svdaudio.cli.grouped import grouped
from svdaudio.cli.output import console, print_files, print_json, print_note, print_run_head, short_path, table

if TYPE_CHECKING:
    from svdaudio.session import Result
    from svdaudio.studies.nearest import Found

SoundFile = Annotated[Path, typer.Argument(metavar="SOUND", help="A sound file.")]
LabelsOption = Annotated[
    str | None,
    typer.Option(
        "--labels", metavar="A,B,C|FILE",
        help="Labels to compare the sound with, or a text file with one label per line (default all labels of the "
        "guide, if it has a fixed set).",
    ),
]  # fmt: skip
TemplateOption = Annotated[
    str | None,
    typer.Option(
        "--template", metavar="TEXT",
        help="Text to put each label into, such as 'a photo of a {}' (default the bare label, as published).",
    ),
]  # fmt: skip
Folder = Annotated[
    Path | None,
    typer.Option(
        "--pictures", metavar="FOLDER", parser=options.user_path,
        help="Also list the pictures in this folder and its subfolders that are nearest to the sound.",
    ),
]  # fmt: skip
Top = Annotated[int, typer.Option("--top", metavar="N", min=1, help="Number of pictures that --pictures lists.")]


@grouped
def hear(
    sound: SoundFile,
    *,
    labels: LabelsOption = None,
    template: TemplateOption = None,
    pictures: Folder = None,
    top: Top = 5,
    parameters: options.HearingParameters,
    execution: options.Execution,
) -> None:
    """Compare a sound with labels and pictures in CLIP's space: cosines, probabilities, and the nearest pictures.

    Needs a bundle with a sound encoder and a guide. No sound is generated.
    """
    from svdaudio.cli import sessions
    from svdaudio.methods.hear import HEARD
    from svdaudio.studies.nearest import nearest_pictures, pictures_of

    begun = time.perf_counter()
    listed = None if pictures is None else pictures_of(pictures)
    session = sessions.open_session(execution.store, execution.open_runner())
    settings = {"hear.labels": None if labels is None else _labels(labels), "hear.template": template}
    request = sessions.request_of(session, "hear", [sound], parameters, settings)
    result = sessions.run_request(session, request, options.OutOptions())
    found = None
    if listed is not None:
        embedding = session.arrays(result.run)[f"{HEARD}.hear"]["embedding"][0]
        config = request.config.flat()
        same = {name: value for name, value in config.items() if name.startswith(("bundle", "execution."))}
        found = nearest_pictures(session, embedding, listed, same, n_nearest=top)
    if execution.as_json:
        print_json(_as_json(result, found, begun))
    else:
        _print(result, found, begun)


def _labels(text: str) -> list[str] | str:
    """The labels of `--labels`: the lines of the file if it is one, else the text itself.

    Raises:
        InputError: the file cannot be read, or has no labels.
    """
    from svdaudio.errors import InputError
    from svdaudio.files import found_instead, read_text

    path = options.user_path(text)
    if "," in text or not (path.exists() or path.suffix == ".txt"):
        return text
    if (another := found_instead(path)) is not None:
        raise InputError(f"{path} is not a file of labels", expected="a text file", got=another)
    try:
        found = [line.strip() for line in read_text(path).splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InputError(f"the labels {path} cannot be read", expected="one label per line", got=reason) from None
    if not any(found):
        raise InputError(f"the file {path} has no labels", expected="one label per line")
    return [label for label in found if label]


def _as_json(result: Result, found: Found | None, begun: float) -> dict[str, Any]:
    from svdaudio.methods.hear import HEARD

    record, report = result.run, result.report
    scores = report.scores.get(HEARD, {})
    return {
        "bundle": record.bundle,
        "run": record.id,
        "labels": {
            label: {"cosine": report.measures["cosines"][label], "probability": probability}
            for label, probability in scores.items()
        },
        "level_db": dict(report.measures["level_db"]),
        "pictures": None
        if found is None
        else {
            "nearest": [{"picture": str(one.picture), "cosine": round(one.cosine, 6)} for one in found.nearest],
            "unreadable": {str(path): reason for path, reason in found.unreadable.items()},
            "n_pictures": found.n_pictures,
            "n_computed": found.n_computed,
        },
        "files": {name: str(path) for name, path in report.pictures.items()},
        "notes": list(dict.fromkeys(text for entry in record.stages for text in entry.notes)),
        "stages": [
            {"stage": entry.node, "key": entry.key, "status": entry.status, "reason": entry.reason}
            for entry in record.stages
        ],
        "seconds": round(time.perf_counter() - begun, 3),
    }


def _print(result: Result, found: Found | None, begun: float) -> None:
    from svdaudio.methods.hear import HEARD

    report = result.report
    screen = console()
    print_run_head(result.run, time.perf_counter() - begun)
    cosines, levels = report.measures["cosines"], report.measures["level_db"]
    scores = report.scores[HEARD]
    rows = [
        [label, f"{cosines[label]:.3f}", f"{scores[label]:.3f}"] for label in sorted(scores, key=lambda n: -scores[n])
    ]
    screen.print()
    screen.print(table(["label", "cosine", "probability"], rows, right=[1, 2]))
    screen.print(f"loudness {levels['loudness']:.1f} dB, highest band {levels['maximum']:.1f} dB")
    if found is not None:
        screen.print()
        rows = [[short_path(one.picture), f"{one.cosine:.3f}"] for one in found.nearest]
        screen.print(table(["nearest pictures", "cosine"], rows, right=[1]))
        screen.print(f"of {found.n_pictures} pictures, {found.n_computed} of which were embedded now")
        for reason in found.unreadable.values():
            print_note(f"skipped: {reason}")
    screen.print()
    print_files(report.pictures)
