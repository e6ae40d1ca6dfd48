"""`svdaudio study`: a parameter search, repeated over scenes and seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdaudio.cli import batch, options, sessions
from svdaudio.cli.grouped import grouped
from svdaudio.cli.output import console, print_files, print_json, print_note, seconds_text, table

if TYPE_CHECKING:
    from svdaudio.engine.batches import Batch
    from svdaudio.session import Session
    from svdaudio.store import RunRecord
    from svdaudio.studies.parameter_study import Setting, StudyPlan, StudyResults
    from svdaudio.studies.study_report import Report
    from svdaudio.studies.trials import TrialBook

N_ROWS_SHOWN = 20
BASELINE = "baseline"

DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Print what would be computed, what is cached, and the estimated time; run nothing."
    ),
]


@grouped
def study(
    spec: Annotated[
        Path,
        typer.Argument(
            metavar="SPEC", parser=options.user_path,
            help="A .toml file with the method, scenes, parameter ranges, seeds, and an objective over scores.",
        ),
    ],
    *,
    overrides: options.Set = None,
    bundle: options.Bundle = None,
    dry_run: DryRun = False,
    execution: options.StudyOptions,
) -> None:  # fmt: skip
    """Find which parameters matter and which setting is best, by a grid, random settings or Optuna.

    Reports the mean of an objective over scores for every setting, and its difference from the first setting, with
    95 % intervals over scenes and seeds. Writes tables, response curves, heat maps, the importance of each parameter
    and a page. Repeating the command continues an interrupted study. docs/studies.md describes the file.
    """
    from svdaudio.studies.parameter_study import ParameterStudy
    from svdaudio.studies.study_spec import read_spec
    from svdaudio.studies.trials import check_installed

    read = read_spec(spec)
    if read.search.kind == "optuna":
        check_installed()
    session = sessions.open_session(execution.store, execution.open_runner())
    default = session.out_root / f"study.{read.path.stem}"
    parameter_study = ParameterStudy(
        spec=read, folder=execution.out or default, overrides=tuple(overrides or ()), bundle=bundle
    )
    if not dry_run:
        sessions.check_out(parameter_study.folder / "study.csv")
    plan = parameter_study.plan(session)
    if dry_run:
        _forecast(session, plan, execution)
        return
    command = parameter_study.command(default_folder=default)
    if read.search.kind == "optuna":
        _search(session, plan, command, execution, {})
        return
    title = f"{read.title}: {len(plan.settings)} settings"
    _finish(
        plan, command, *_execute(session, plan, plan.settings, title, command, execution), as_json=execution.as_json
    )


def finish(session: Session, opened: Batch, record: RunRecord, runs: Sequence[RunRecord], *, as_json: bool) -> None:
    """Complete the study of a resumed batch: run its remaining trials, write its files and print its results.

    Raises:
        typer.Exit: with 1 if a run has no result.
    """
    from svdaudio.studies.parameter_study import ParameterStudy

    parameter_study, command = ParameterStudy.of_record(opened.policy.study or {})
    plan = parameter_study.plan(session)
    if parameter_study.spec.search.kind == "optuna":
        done = {job.name: run for job, run in zip(opened.jobs, runs, strict=True)}
        execution = options.BatchExecution(workers=opened.policy.n_workers, as_json=as_json)
        _search(session, plan, command, execution, done)
        return
    _finish(plan, command, opened, record, runs, as_json=as_json)


def _execute(
    session: Session,
    plan: StudyPlan,
    settings: Sequence[Setting],
    title: str,
    command: str,
    execution: options.BatchExecution,
) -> tuple[Batch, RunRecord, list[RunRecord]]:
    """Run some settings as a batch."""
    prepared = plan.prepare(session, settings, batch.prepare)
    several = plan.spec.search.kind == "optuna"  # batches, whose tables would overwrite each other
    return batch.open_and_execute(
        session, prepared, execution, files={"study": plan.spec.path}, title=title,
        table=None if several else plan.study.folder / "runs.csv", study=plan.study.kept(command),
    )  # fmt: skip


def _finish(
    plan: StudyPlan, command: str, opened: Batch, record: RunRecord, runs: Sequence[RunRecord], *, as_json: bool
) -> None:
    found = {job.name: run for job, run in zip(opened.jobs, runs, strict=True)}
    results = plan.results(plan.settings, found, n_added=plan.n_added)
    _report(results, command, batches=[record.id], as_json=as_json)


def _search(
    session: Session,
    plan: StudyPlan,
    command: str,
    execution: options.BatchExecution,
    done: Mapping[str, RunRecord],
) -> None:
    """Run one trial after the other, each as a batch of its scenes and seeds, and report the results.

    Args:
        session: runs the trials.
        plan: of the study.
        command: for the page.
        execution: options of the command.
        done: name → run of a batch that was just resumed.
    """
    from dataclasses import replace

    from svdaudio.errors import ConfigError, InputError
    from svdaudio.studies.sweep import setting_name
    from svdaudio.studies.trials import JOURNAL, TrialBook, covers

    search = plan.spec.search
    first = dict(plan.settings[0]) if plan.settings else None
    inside = first is not None and all(one.name in first and covers(one, first[one.name]) for one in search.ranges)
    book = TrialBook(
        plan.study.folder / JOURNAL, search, name=plan.identity(session), maximizes=plan.spec.maximizes,
        first=first if inside else None,
    )  # fmt: skip
    runs = _runs_of(session, book) | dict(done)
    batches: list[str] = []

    def run(setting: Setting, title: str) -> list[RunRecord]:
        names = plan.names(setting)
        if any(name not in runs for name in names):
            title = f"{plan.spec.title}: {title}"
            opened, record, found = _execute(session, plan, [setting], title, command, execution)
            batches.append(record.id)
            runs.update({job.name: one for job, one in zip(opened.jobs, found, strict=True)})
        return [runs[name] for name in names]

    if first is not None and not inside:
        found = run(first, BASELINE)
        book.keep(BASELINE, {name: one.id for name, one in zip(plan.names(first), found, strict=True)})
    while (trial := book.next()) is not None:
        title = f"trial {trial.number + 1} of {search.n}"
        try:
            found = run(trial.setting, title)
        except (ConfigError, InputError) as error:  # of this setting; the next one may be valid
            print_note(f"{title}, {setting_name(trial.setting)}, cannot be run: {error.line()}")
            book.tell(trial, None, {})
            continue
        names = plan.names(trial.setting)
        values = [plan.objective(one, name) for name, one in zip(names, found, strict=True)]
        mean = sum(values) / len(values)
        value = None if math.isnan(mean) else mean  # a run has no result
        print_note(f"{title}: {setting_name(trial.setting)}: {'no result' if value is None else f'{value:.3f}'}")
        book.tell(trial, value, {name: one.id for name, one in zip(names, found, strict=True)})
    tried = [trial.setting for trial in book.told if trial.runs]
    if first is not None and not inside:
        tried.insert(0, first)
    settings = list({setting_name(one): one for one in tried}.values())
    results = plan.results(settings, runs, n_added=int(first is not None and not inside))
    evaluator, importance = book.importance()
    results = replace(results, importance=importance, evaluator=evaluator)
    _report(results, command, batches=batches, as_json=execution.as_json)


def _runs_of(session: Session, book: TrialBook) -> dict[str, RunRecord]:
    """The runs of earlier trials, without those whose records are gone, which run again."""
    from svdaudio.errors import RunError

    kept = dict(book.kept(BASELINE))
    for trial in book.told:
        kept |= trial.runs
    found: dict[str, RunRecord] = {}
    for name, run_id in kept.items():
        try:
            found[name] = session.store.runs.load(run_id)
        except RunError:
            continue
    return found


def _report(results: StudyResults, command: str, *, batches: Sequence[str], as_json: bool) -> None:
    """Write the files of a study and print its results.

    Raises:
        typer.Exit: with 1 if a run has no result.
    """
    from svdaudio.studies.study_files import write_files
    from svdaudio.studies.study_report import Report

    report = Report(results)
    files = write_files(report, command=command)
    if results.n_missing:
        print_note(f"{results.n_missing} of {results.values.size} runs have no result; the column 'error' says why")
    if as_json:
        _print_json(report, files, batches)
    else:
        _print(report, files)
    if results.n_missing:
        raise typer.Exit(1)


def _print_json(report: Report, files: Mapping[str, Path], batches: Sequence[str]) -> None:
    results, spec = report.results, report.spec
    rows = report.setting_rows()
    n_settings, n_scenes, n_seeds = results.values.shape
    counts = {"settings": n_settings, "scenes": n_scenes, "seeds": n_seeds, "runs": results.values.size}
    print_json(
        {
            "study": spec.title,
            "bundle": report.plan.bundle,
            "batches": list(batches),
            "objective": spec.objective.text,
            "direction": spec.direction,
            "counts": {**counts, "missing": results.n_missing},
            "lead": report.lead,
            "best": None if results.best is None else rows[results.best],
            "settings": rows,
            "importance": {name: round(one.value, 6) for name, one in report.importance.items()},
            "files": {name: str(path.absolute()) for name, path in files.items()},
        }
    )


def _print(report: Report, files: Mapping[str, Path]) -> None:
    screen = console()
    sign = -1.0 if report.spec.maximizes else 1.0
    effects = list(enumerate(report.effects))
    effects.sort(key=lambda item: float("inf") if item[1].mean is None else sign * item[1].mean.value)
    body = [
        [
            place + 1,
            report.setting_text(place),
            effect.mean.n if effect.mean else 0,
            effect.mean or "no result",
            effect.difference or "",
        ]
        for place, effect in effects[:N_ROWS_SHOWN]
    ]
    shown = f", the best {N_ROWS_SHOWN}" if len(effects) > N_ROWS_SHOWN else ""
    headings = ["setting", "parameters", "n", report.spec.objective.text, "difference from the first"]
    title = f"{len(effects)} settings, {report.plan.n_text}{shown}"
    screen.print(table(headings, body, title=title, right=[2]))
    screen.print(f"\n{report.lead}\n", markup=False)
    print_files(files)


def _forecast(session: Session, plan: StudyPlan, execution: options.StudyOptions) -> None:
    """Print what a study would compute, with random settings in place of those that Optuna would pick."""
    from svdaudio.engine.batch import expected_seconds
    from svdaudio.studies.forecast import forecast
    from svdaudio.studies.parameter_study import counted
    from svdaudio.studies.sweep import draw_settings

    search, settings = plan.spec.search, list(plan.settings)
    if search.kind == "optuna":
        settings += (
            draw_settings(search.ranges, search.n - len(settings), search.seed) if search.n > len(settings) else []
        )
    prepared = plan.prepare(session, settings, batch.prepare)
    found = forecast((one.request for one in prepared), session.store)
    seconds = found.seconds(expected_seconds(session.store), execution.workers)
    facts: dict[str, Any] = {
        "settings": len(settings),
        "scenes": len(plan.scenes),
        "seeds": list(plan.seeds),
        "runs": found.n_runs,
        "computations": found.n_computations,
        "cached": found.n_cached,
        "left": dict(found.left),
        "seconds": None if seconds is None else round(seconds, 1),
    }
    if execution.as_json:
        print_json(facts)
        return
    screen = console()
    screen.print(
        f"{counted(len(settings), 'setting')} × {plan.n_text} = {found.n_runs} runs with "
        f"{found.n_computations} computations, of which {found.n_cached} are cached.",
        markup=False,
    )
    if search.kind == "optuna":
        screen.print("Optuna picks settings one by one; this forecast uses random ones instead.")
    if found.left:
        rows = [[stage, n] for stage, n in sorted(found.left.items(), key=lambda item: -item[1])]
        screen.print(table(["stage", "at most to compute"], rows, right=[1]))
    wait = "unknown: a stage has not been timed in this store yet" if seconds is None else seconds_text(seconds)
    screen.print(f"estimated time: {wait}", markup=False)
