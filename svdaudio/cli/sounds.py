"""`svdaudio evaluate sounds`, the default of `evaluate`: scores, verdicts and set figures of runs and sound files."""

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
    print_note,
    quiet_stdout,
    table,
    verdict_lines,
)

if TYPE_CHECKING:
    from svdaudio.checkpoints.bundle import Bundle
    from svdaudio.evaluation.closer import Closeness
    from svdaudio.session import Session
    from svdaudio.studies.listening import Item, Listening

N_SHOWN = 30
"""More sounds than this are not printed one by one."""
N_COLUMNS = 10
"""More classes than this are not printed as columns."""
N_TOP = 5
"""Classes that are printed then."""

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN|AUDIO...",
        help="Runs or batches (an id, the start or end of an id, or 'latest'), sound files, or folders of them.",
    ),
]  # fmt: skip
Pairs = Annotated[
    Path | None,
    typer.Option(
        "--pairs", metavar="TABLE.csv", parser=options.user_path,
        help="A table with one edit per line: files in the columns original, edited, manipulated; classes, separated "
        "by ';', in removed, added, kept; a description of the sound in text.",
    ),
]  # fmt: skip
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label", metavar="CLASS",
        help="A class to print. Repeatable (default those in the verdict and those that are heard).",
    ),
]  # fmt: skip
Reference = Annotated[
    Path | None,
    typer.Option(
        "--reference", metavar="FOLDER", parser=options.user_path,
        help="A folder of sounds to compare the set with: FD, KAD, KL, IS.",
    ),
]  # fmt: skip
Judges = Annotated[
    str | None, typer.Option("--bundle", help="Bundle with the judges (default the bundle of the runs, or mini).")
]
ScoreTable = Annotated[
    Path | None,
    typer.Option(
        "--table", metavar="FILE", parser=options.user_path,
        help="Also write the scores to this .csv or .jsonl file, with a row for each sound, judge and class.",
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
    """Score runs, sound files or a table of edits with the judges of a bundle; the default of `evaluate`.

    Prints class scores by every tagger of the bundle; for edits, the verdict with its margins, and whether the sound is
    closer to that of the edited picture or of the original; with --reference, figures of the whole set
    (docs/evaluation.md).
    """
    from svdaudio.checkpoints.models import Models
    from svdaudio.engine.batches import check_table, write_table
    from svdaudio.errors import InputError
    from svdaudio.evaluation.sounds import sounds_in
    from svdaudio.studies.listening import listen

    if not names and pairs is None:
        raise InputError("nothing to evaluate", fix="give a run, a sound file or --pairs TABLE.csv")
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
        print_note(text)
    _print(found, label or ())
    if scores is not None:
        print_files({"table": scores})


def _items(session: Session, names: Sequence[str], pairs: Path | None) -> tuple[list[Item], list[str]]:
    """The items to evaluate without duplicates, and the bundles of the runs."""
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
            f"'{name}' is not a sound file, a folder or a run",
            fix="list runs with `svdaudio runs`, or subcommands with `svdaudio evaluate --help`",
        ) from error


def _check_labels(judges: Bundle, labels: Sequence[str]) -> None:
    """Refuse a class that no judge knows.

    Raises:
        InputError: a class is unknown.
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
    """Print scores, verdicts and cosines of each sound, if they are few; then shares, and figures of the set."""
    screen = console()
    is_short = len(found.facts) <= N_SHOWN
    if not is_short:
        print_note(f"{len(found.facts)} sounds; --table or --json gives the scores of each")
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
    """The scores of one judge, with a row for each sound."""
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
    words = {True: "closer to the edited sound", False: "closer to the original sound", None: "equally close to both"}
    cosines = f"cosine {near.edited:.3f} with the edited, {near.original:.3f} with the original"
    return f"{MARKS[near.closer]} {words[near.closer]} in {near.space}: {cosines}"
