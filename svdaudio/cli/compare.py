"""`svdaudio compare A B`: the differences of two runs, where they begin, and their effect on the sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdaudio.cli import options
from svdaudio.cli.output import LARGE_CHANGE, MARKS, N_DIGITS, console, print_json, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from svdaudio.store import FileUse
    from svdaudio.views.comparison import Comparison, ScoreRow, Setting

NAMES = ("a", "b")
MISSING = "–"
"""Printed in place of a value that a run does not have."""


def compare(
    before: Annotated[str, typer.Argument(metavar="A", help="A run.")],
    after: Annotated[str, typer.Argument(metavar="B", help="Another run.")],
    *,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Compare two runs: parameters, files, stages, scores and verdicts that differ, and why.

    Shows the stages where the runs begin to differ, and those downstream. Runs of different methods are compared in
    what they share.
    """
    from svdaudio.cli.sessions import open_session

    found = open_session(store).comparison(before, after)
    if as_json:
        print_json(_as_json(found))
        return
    _print_heads(found)
    _print_parameters(found)
    _print_files(found)
    _print_stages(found)
    _print_scores(found)
    _print_verdict(found)
    for text in found.limits:
        console().print(f"note: {text}", markup=False)


def _print_heads(found: Comparison) -> None:
    for name, run in zip(NAMES, found.runs, strict=True):
        error = f": {run.error}" if run.error else ""
        console().print(f"{name.upper()}  {run.id}  {run.kind}, bundle {run.bundle}, {run.state}{error}", markup=False)


def _print_parameters(found: Comparison) -> None:
    """Print parameters that differ and that both methods have or the user set, and the number of the others."""
    screen = console()
    screen.print()
    if not found.parameters:
        screen.print("Every parameter is the same.")
        return
    same_method = len({run.kind for run in found.runs}) == 1
    shown = [
        row
        for row in found.parameters
        if same_method or row.is_shared or any(one is not None and one.is_given for one in row.settings)
    ]
    n_parameters = len(found.parameters) + found.n_same_parameters
    screen.print(f"{len(found.parameters)} of {n_parameters} parameters differ")
    rows = [[row.name, *map(_setting_text, row.settings)] for row in shown]
    screen.print(table(["parameter", "A", "B"], rows))
    if len(shown) < len(found.parameters):
        screen.print(f"and {len(found.parameters) - len(shown)} more that only one of the methods has, at defaults")


def _setting_text(setting: Setting | None) -> str:
    return MISSING if setting is None else f"{setting.value} ({setting.source})"


def _print_files(found: Comparison) -> None:
    if found.files:
        rows = [[row.name, *map(_file_text, row.files)] for row in found.files]
        console().print()
        console().print(table(["file", "A", "B"], rows))


def _file_text(use: FileUse | None) -> str:
    return MISSING if use is None else f"{use.path} (sha256 {use.digest[:N_DIGITS]})"


def _print_stages(found: Comparison) -> None:
    screen = console()
    lacking = [found.lacking(place) for place in range(len(found.runs))]
    n_common = len(found.same_stages) + len(found.origins) + len(found.followers)
    screen.print()
    if n_common == 0:
        screen.print("No stage was reached by both runs.")
    elif n_common == len(found.same_stages):
        screen.print(f"Every stage that both runs reached is the same ({n_common}).")
    else:
        screen.print(f"{len(found.same_stages)} of {n_common} stages are the same. The runs begin to differ in:")
        rows = [[row.node, row.reason, _outputs_text(row.same_outputs)] for row in found.origins]
        screen.print(table(["stage", "why", "outputs"], rows))
    for same, what in ((False, "with different outputs"), (True, "with different inputs but the same outputs")):
        names = [row.node for row in found.followers if row.same_outputs == same]
        if names:
            screen.print(f"{_stages_text(len(names))} {what}: {', '.join(names)}", markup=False)
    for name, missing in zip(reversed(NAMES), lacking, strict=True):
        if missing:
            screen.print(f"Only in {name.upper()}: {', '.join(missing)}", markup=False)


def _stages_text(n: int) -> str:
    return "1 downstream stage" if n == 1 else f"{n} downstream stages"


def _outputs_text(same: bool) -> str:
    return "the same" if same else "different"


def _print_scores(found: Comparison) -> None:
    """Print scores that differ, and those of the result that the runs were to change."""
    if not found.scores:
        return
    from rich.text import Text

    from svdaudio.views.comparison import LEAST_CHANGE

    screen = console()
    result = found.scores[0].sound
    shown = [row for row in found.scores if row.is_changed or (row.is_asked and row.sound in (result, *found.results))]
    screen.print()
    if shown:
        rows = [
            [
                row.sound,
                f"{row.class_name} *" if row.is_asked else row.class_name,
                *map(_score_text, row.scores),
                Text(_change_text(row), style="bold" if row.spread >= LARGE_CHANGE else "dim"),
            ]
            for row in shown
        ]
        screen.print(table(["sound", "class", "A", "B", "change"], rows, right=[2, 3, 4]))
        if any(row.is_asked for row in shown):
            screen.print("* a class that the runs should change")
    if len(shown) < len(found.scores):
        n_left = len(found.scores) - len(shown)
        screen.print(f"{'The other' if shown else 'All'} {n_left} scores differ by less than {LEAST_CHANGE}.")


def _score_text(score: float | None) -> str:
    return MISSING if score is None else f"{score:.3f}"


def _change_text(row: ScoreRow) -> str:
    before, after = row.scores[0], row.scores[-1]
    return "" if before is None or after is None else f"{round(after - before, 3) + 0.0:+.3f}"  # not -0.000


def _print_verdict(found: Comparison) -> None:
    if found.verdict:
        rows = [[row.object, *map(_finding_text, row.findings)] for row in found.verdict]
        console().print()
        console().print(table(["object", "verdict on A", "verdict on B"], rows))


def _finding_text(finding: Mapping[str, Any] | None) -> str:
    return MISSING if finding is None else f"{MARKS[finding['ok']]} {finding['text']}"


def _as_json(found: Comparison) -> dict[str, Any]:
    """Everything that differs. The first six fields are those of the former `svdaudio diff`."""
    parameters = {
        row.name: {
            **_by_run([None if one is None else one.value for one in row.settings]),
            **_by_run([None if one is None else one.source for one in row.settings], "_from"),
        }
        for row in found.parameters
    }
    files = {f"file {row.name}": _by_run([use and use.path for use in row.files]) for row in found.files}
    differing = [row for row in found.stages if row.differs]
    full = {one.node: one.reason for row in differing for one in row.differences if one is not None}
    return {
        **_by_run([run.id for run in found.runs]),
        "parameters": {**parameters, **files},
        "first": differing[0].node if differing else None,
        "stages": [
            {
                "stage": row.node,
                "reason": full[row.node] or row.reason,
                "same_outputs": row.same_outputs,
                "is_origin": row.is_origin,
            }
            for row in differing
        ],
        "scores": _scores_json(found.scores),
        "methods": _by_run([run.kind for run in found.runs]),
        "states": _by_run([run.state for run in found.runs]),
        "results": _by_run(found.results),
        "files": {row.name: _by_run([_file_json(use) for use in row.files]) for row in found.files},
        "same_stages": list(found.same_stages),
        "lacking": _by_run([list(found.lacking(place)) for place in range(len(found.runs))]),
        "asked": list(found.asked),
        "verdict": [
            {"object": row.object, **_by_run([one and dict(one) for one in row.findings])} for row in found.verdict
        ],
        "notes": list(found.limits),
    }


def _by_run(values: Sequence[Any], suffix: str = "") -> dict[str, Any]:
    return {f"{name}{suffix}": value for name, value in zip(NAMES, values, strict=True)}


def _file_json(use: FileUse | None) -> dict[str, str] | None:
    return None if use is None else {"path": use.path, "sha256": use.digest}


def _scores_json(rows: Sequence[ScoreRow]) -> dict[str, dict[str, list[float]]]:
    """Sound → class → the scores of both runs, for classes that both have."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        classes = found.setdefault(row.sound, {})
        if None not in row.scores:
            classes[row.class_name] = list(row.known)
    return found
