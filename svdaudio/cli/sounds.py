"""`svdaudio evaluate sounds`, its default: judges, verdicts and figures of sets, of runs and of any sound files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdaudio.cli import options, sessions
from svdaudio.cli.output import (
    MARKS,
    console,
    error_console,
    print_files,
    print_json,
    quiet_stdout,
    remark,
    table,
    verdict_lines,
)

if TYPE_CHECKING:
    from svdaudio.checkpoints.bundle import Bundle
    from svdaudio.evaluation.closer import Closeness
    from svdaudio.session import Session
    from svdaudio.studies.listening import Item, Listening

N_SHOWN = 30
"""Sounds up to which each is printed."""
N_COLUMNS = 10
"""Classes up to which each has a column."""
N_TOP = 5

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN|AUDIO...", show_default=False,
        help="Runs or batches (an id, the start or end of it, 'latest'), sound files, or folders of them.",
    ),
]  # fmt: skip
Pairs = Annotated[
    Path | None,
    typer.Option(
        "--pairs", metavar="TABLE.csv", parser=options.user_path, show_default=False,
        help="Edits, a line each: files in the columns original, edited, manipulated; classes, separated by ';', in "
        "removed, added, kept; a text of the sound in text.",
    ),
]  # fmt: skip
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label", metavar="CLASS", show_default=False,
        help="A class to print. Repeatable (default those that the verdict asks for and any that is heard).",
    ),
]  # fmt: skip
Reference = Annotated[
    Path | None,
    typer.Option(
        "--reference", metavar="FOLDER", parser=options.user_path, show_default=False,
        help="A folder of sounds that the set is compared with: FD, KAD, KL, IS.",
    ),
]  # fmt: skip
Judges = Annotated[
    str | None,
    typer.Option(
        "--bundle", help="Bundle whose judges listen (default that of the runs, or mini).", show_default=False
    ),
]

ScoreTable = Annotated[
    Path | None,
    typer.Option(
        "--table", metavar="FILE", parser=options.user_path, show_default=False,
        help="Also write the scores here, .csv or .jsonl: a row for each sound, judge and class.",
    ),
]  # fmt: skip


def sounds(
    names: Names = None,
    *,
    pairs: Pairs = None,
    label: Labels = None,
    reference: Reference = None,
    bundle: Judges = None,
    store: options.Store = None,
    scores: ScoreTable = None,
    as_json: options.Json = False,
) -> None:
    """What the judges of a bundle hear in runs, in sound files, or in a table of edits; the default of `evaluate`.

    Class scores by every tagger of the bundle; for edits the verdict with its margins, and whether the sound is closer
    to the edited picture's than to the original's; with --reference, figures of the whole set (docs/evaluation.md).
    """
    from svdaudio.checkpoints.bundle import Models
    from svdaudio.engine.batches import check_table, write_table
    from svdaudio.errors import InputError
    from svdaudio.evaluation.sounds import sounds_in
    from svdaudio.studies.listening import listen

    if not names and pairs is None:
        raise InputError("there is nothing to evaluate", fix="give a run, a sound file or --pairs TABLE.csv")
    if reference is not None and not reference.is_dir():
        raise InputError(f"the reference {reference} is not a folder", expected="a folder of sounds")
    if scores is not None:
        check_table(scores)
        sessions.check_out(scores)
    session = sessions.open_session(store)
    references = [] if reference is None else sounds_in(reference)
    items, bundles = _items(session, names or (), pairs)
    judges = sessions.open_bundle(bundle or (bundles[0] if bundles else "mini"))
    _check_labels(judges, label or ())
    with error_console().status("listening") as status, quiet_stdout():
        found = listen(items, judges, Models(judges), reference=references, on_sound=status.update)
    more = [] if bundle or len(bundles) < 2 else [f"runs of {' and '.join(bundles)} are judged by {judges.name}"]
    if scores is not None:
        write_table(scores, found.table(label or ()))
    if as_json:
        results = found.results(label or ())
        files = {} if scores is None else {"table": str(scores)}
        print_json({**results, "warnings": [*results["warnings"], *more], "files": files})
        return
    for text in (*found.warnings, *more):
        remark(text)
    _print(found, label or ())
    if scores is not None:
        print_files({"table": scores})


def _items(session: Session, names: Sequence[str], pairs: Path | None) -> tuple[list[Item], list[str]]:
    """What is evaluated, each once, and the bundles of the runs."""
    from svdaudio.evaluation.sounds import sounds_in
    from svdaudio.studies.listening import file_item, pair_item, run_items
    from svdaudio.studies.sound_pairs import read_sound_pairs

    items: list[Item] = []
    bundles: list[str] = []
    for name in names:
        path = options.user_path(name)
        if path.is_dir():
            items += map(file_item, sounds_in(path))
        elif path.exists():
            items.append(file_item(path))
        else:
            run = _run(session, name)
            items += run_items(session, run)
            bundles.append(run.bundle)
    if pairs is not None:
        items += map(pair_item, read_sound_pairs(pairs))
    return list({item.name: item for item in items}.values()), list(dict.fromkeys(bundles))


def _run(session: Session, name: str) -> Any:
    from svdaudio.errors import InputError, RunError

    try:
        return session.load(name)
    except RunError as error:
        raise InputError(
            f"there is no sound '{name}', and no such run",
            expected="a file, a folder, or a run",
            fix="`svdaudio runs` lists runs, `svdaudio evaluate --help` the other subcommands",
        ) from error


def _check_labels(judges: Bundle, labels: Sequence[str]) -> None:
    """Refuse a class that no judge knows.

    Raises:
        InputError: there is one.
        CheckpointError: the bundle has no tagger.
    """
    import difflib

    from svdaudio.errors import CheckpointError, InputError

    if not judges.judges:
        raise CheckpointError(f"the bundle '{judges.name}' has no tagger", fix="choose another one with --bundle")
    known = list(dict.fromkeys(name for role in judges.judges for name in judges.classes(role)))
    for label in labels:
        if label not in known:
            near = difflib.get_close_matches(label, known, n=3, cutoff=0.5) or known[:9]
            raise InputError(f"no judge knows the class '{label}'", expected=" or ".join(near))


def _print(found: Listening, labels: Sequence[str]) -> None:
    """For people: scores, verdicts and cosines of each item if they are few; shares, and figures of the set."""
    screen = console()
    is_short = len(found.facts) <= N_SHOWN
    if not is_short:
        remark(f"{len(found.facts)} sounds: --table and --json have the scores of each")
    for role, heard in found.heard.items():
        screen.print(f"[bold]{heard.network}[/bold], {len(heard.classes)} classes", highlight=False)
        if is_short:
            screen.print(_scores(found, role, labels))
            for name, findings in found.findings[role].items():
                for line in verdict_lines([one.results() | {"text": _text(one)} for one in findings]):
                    screen.print(line if len(found.items) == 1 else f"{name}: {line}", markup=False)
        screen.print()
    for name, nears in found.closer.items() if is_short else ():
        for near in nears:
            line = _closer_line(near)
            screen.print(line if len(found.items) == 1 else f"{name}: {line}", markup=False)
    if len(found.items) > 1 and found.summary:
        rows = [[figure.name, str(figure), figure.n] for figure in found.summary]
        screen.print(table(["share", "value [95 % interval]", "n"], rows, right=[2]))
    if found.sets:
        body = [
            [f"{one.name} {one.direction}", str(one), one.n or "", one.n_reference or "", one.why or ""]
            for one in found.sets
        ]
        screen.print()
        screen.print(table(["figure", "value [95 % interval]", "n", "reference", ""], body, right=[2, 3]))


def _scores(found: Listening, role: str, labels: Sequence[str]) -> Any:
    """Scores by one judge, a row for each sound."""
    shown = found.labels(role, labels)
    in_columns = len(shown) <= N_COLUMNS
    rows: list[list[object]] = []
    for item in found.items:
        scores = found.scores(role, item)
        for name, source in item.sounds.items():
            row = scores.get(name)
            if row is None:
                rows.append([source.name, *(["–"] * (len(shown) if in_columns else 1))])
            elif in_columns:
                rows.append([source.name, *(f"{row[one]:.3f}" for one in shown)])
            else:
                top = sorted(((row[one], one) for one in shown), reverse=True)[:N_TOP]
                rows.append([source.name, ", ".join(f"{one} {score:.2f}" for score, one in top)])
    headings = ["sound", *(shown if in_columns else ["highest scores"])]
    return table(headings, rows, right=range(1, len(headings)) if in_columns else ())


def _text(finding: Any) -> str:
    return finding.text if finding.margin is None else f"{finding.text}, margin {finding.margin:+.2f}"


def _closer_line(near: Closeness) -> str:
    words = {True: "closer to the edited sound", False: "closer to the original sound", None: "as close to both"}
    cosines = f"cosine {near.edited:.3f} with the edited, {near.original:.3f} with the original"
    return f"{MARKS[near.closer]} {words[near.closer]} in {near.space}: {cosines}"
