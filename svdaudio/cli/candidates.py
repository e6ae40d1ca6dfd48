"""`svdaudio candidates` and `svdaudio pick`: listing the candidates of a run, and keeping another one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from svdaudio.cli import options, sessions
from svdaudio.cli.grouped import grouped
from svdaudio.cli.output import console, print_files, print_json, table
from svdaudio.cli.run import print_result

LEAST_SCORE_SHOWN = 0.05


@grouped
def candidates(
    name: options.Run,
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FOLDER", parser=options.user_path,
            help="Also write every candidate to this folder, as SOUND.NUMBER.wav.",
        ),
    ] = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:  # fmt: skip
    """List every candidate of a run, counted from 1, with its similarity to the requested embedding and class scores.

    The similarity is the cosine of a candidate's CLAP embedding with the requested one; the most similar candidate is
    kept unless `pick` or --pick names another. Only scores are computed; the candidates are already in the store.
    """
    from svdaudio.errors import InputError
    from svdaudio.files import write_bytes
    from svdaudio.studies import candidates as library
    from svdaudio.views.report import wav_bytes

    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"{out} cannot be written to", expected="a folder", got="a file")
    session = sessions.open_session(store)
    run = session.load(name)
    files: dict[str, Path] = {}
    with sessions.show_progress() as progress:
        every = list(library.candidates(session, run, progress=progress))
    sounds = list(dict.fromkeys(one.sound for one in every))
    found = sorted(every, key=lambda one: sounds.index(one.sound))
    for one in found if out is not None else ():
        path = files[f"{one.sound}.{one.number}"] = Path(out or "") / f"{one.sound}.{one.number}.wav"
        write_bytes(path, wav_bytes(one.waveform))
    if as_json:
        rows = [
            {
                "sound": one.sound,
                "candidate": one.number,
                "similarity": round(one.similarity, 6),
                "kept": one.kept,
                "scores": dict(one.scores),
                "file": str(files[f"{one.sound}.{one.number}"]) if files else None,
            }
            for one in found
        ]
        print_json({"run": run.id, "candidates": rows})
        return
    classes = list(dict.fromkeys(name for one in found for name in one.scores))
    classes = [name for name in classes if max(one.scores[name] for one in found) >= LEAST_SCORE_SHOWN]
    rows = [
        [
            one.sound, one.number, f"{one.similarity:.3f}", "kept" if one.kept else "",
            *(f"{one.scores[name]:.3f}" for name in classes),
        ]
        for one in found
    ]  # fmt: skip
    screen = console()
    screen.print(
        table(["sound", "candidate", "similarity", "", *classes], rows, right=[1, 2, *range(4, 4 + len(classes))])
    )
    screen.print(f"\nTo keep another candidate: svdaudio pick {run.id} NUMBER", markup=False)
    print_files(files)


@grouped
def pick(
    name: options.Run,
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="The candidate, counted from 1.")],
    *,
    out: options.OutOptions,
    execution: options.Execution,
) -> None:
    """Keep another candidate: repeat RUN as a new run that keeps candidate NUMBER.

    Only the choice and its downstream stages are computed. The number applies to every sound of the run, because
    candidates with the same number share their noise.
    """
    from svdaudio.studies.candidates import PICK, check_has_candidates

    begun = time.perf_counter()
    sessions.check_sound_out(out)
    session = sessions.open_session(execution.store, execution.open_runner())
    before = session.load(name)
    check_has_candidates(session, before)
    request = session.request_like(before, {PICK: number}, source="command line")
    result = sessions.run_request(session, request, out)
    print_result(result, begun, as_json=execution.as_json)
