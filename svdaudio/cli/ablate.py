"""`svdaudio ablate`: the effect of each part of the published method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from svdaudio.cli import batch, options, sessions
from svdaudio.cli.evaluate import Only, Seed
from svdaudio.cli.grouped import grouped
from svdaudio.cli.output import console, error_console, print_files, print_json, print_note, quiet_stdout, table

if TYPE_CHECKING:
    from svdaudio.engine.batches import Batch, Prepared
    from svdaudio.engine.method import Method
    from svdaudio.session import Session
    from svdaudio.store import RunRecord
    from svdaudio.studies.ablation_figures import Ablation
    from svdaudio.studies.ablation_study import AblationStudy
    from svdaudio.studies.pairs import Common

CANDIDATES = "generate.candidates"

Sounds = Annotated[
    bool,
    typer.Option(
        "--sounds/--embeddings-only",
        help="Also generate and score sounds of some settings (an hour on one core), or compute only embeddings "
        "(a few minutes).",
    ),
]


@grouped
def ablate(
    *,
    sounds: Sounds = True,
    only: Only = None,
    scenes: Seed = None,
    parameters: options.SoundParameters,
    execution: options.StudyOptions,
) -> None:
    """Measure the effect of each part of the method: switch it off, sweep or replace it, over 72 edits and 36 mutes.

    Reports how far each setting moves the embeddings of held-out edits. For some settings, also reports the scores of
    the sounds of edits and mutes, compared with plain SSV2A of the edited picture. Each sound has one candidate, unless
    --set generate.candidates changes that. Repeating the command continues an interrupted one.
    """
    from svdaudio.methods.manipulate import METHOD
    from svdaudio.studies.ablation_study import AblationStudy
    from svdaudio.studies.edit_study import chosen_edits

    session = sessions.open_session(execution.store, execution.open_runner())
    folder = execution.out or session.out_root / ("ablation" if scenes is None else f"ablation.{scenes}")
    sessions.check_out(folder / "ablation.csv")
    study = AblationStudy(folder=folder, kinds=chosen_edits(only), scene_seed=scenes, sounds=sounds)
    texts = list(parameters.texts)
    if not any(text.partition("=")[0].strip() == CANDIDATES for text in texts):
        texts.insert(0, f"{CANDIDATES}=1")
    prepared = _prepared(session, study, METHOD, replace(parameters.common(), overrides=texts))
    _check_defaults(prepared[0])
    named = {name: getattr(parameters, name) for name in ("seed", "bundle", "backend", "pick")}
    given = {name: value for name, value in named.items() if value is not None}
    command = study.command(parameters.texts, given, config_file=parameters.config)
    done = batch.open_and_execute(
        session, prepared, execution, files={"scenes": study.scenes}, title=f"ablation over {len(study.kinds)} edits",
        table=folder / "runs.csv", study=study.kept(command),
    )  # fmt: skip
    _finish(session, study, command, *done, as_json=execution.as_json)


def _prepared(session: Session, study: AblationStudy, method: Method, common: Common) -> list[Prepared]:
    from svdaudio.studies.ablation_study import targets_of

    found: list[Prepared] = []
    for selection, rows in study.rows().items():
        variant = "no_baselines" if selection == "the edit's sound" else None
        found += batch.prepare(session, rows, method, replace(common, variant=variant, targets=targets_of(selection)))
    return found


def _check_defaults(first: Prepared) -> None:
    """Refuse values of the parameters that the ablation sets itself: its rows are named after their defaults.

    Raises:
        InputError: such a parameter does not have its default.
    """
    from svdaudio.errors import InputError

    for name, parameter in first.request.config.parameters().items():
        value = first.request.config.value(name)
        if name.partition(".")[0] in ("edit", "svd", "mix") and value != parameter.default:
            raise InputError(
                f"the ablation sets {name} itself", expected=f"its default {parameter.default}", got=value,
                fix="omit it; `svdaudio sweep` takes any setting",
            )  # fmt: skip


def finish(session: Session, opened: Batch, record: RunRecord, runs: Sequence[RunRecord], *, as_json: bool) -> None:
    """Measure the embeddings, write the files of a batch's ablation, and print its figures.

    Raises:
        typer.Exit: with 1 if an edit or a mute has no result.
    """
    from svdaudio.studies.ablation_study import AblationStudy

    study, command = AblationStudy.of_record(opened.policy.study or {})
    _finish(session, study, command, opened, record, runs, as_json=as_json)


def _finish(
    session: Session,
    study: AblationStudy,
    command: str,
    opened: Batch,
    record: RunRecord,
    runs: Sequence[RunRecord],
    *,
    as_json: bool,
) -> None:
    from svdaudio.studies.ablation_figures import Ablation
    from svdaudio.studies.ablation_page import write_files

    finished = {job.name: run for job, run in zip(opened.jobs, runs, strict=True) if run.state == "finished"}
    with sessions.resumable(record.id), error_console().status("measuring embeddings") as status, quiet_stdout():
        embeddings = study.measure(session, finished, lambda name: status.update(f"measuring embeddings of {name}"))
    scores = {name: run.results.get("scores", {}) for name, run in finished.items()}
    found = Ablation(
        embeddings=embeddings,
        edits=study.edits_heard(scores) if study.sounds else [],
        mutes=study.mutes_heard(scores) if study.sounds else [],
    )
    missing = [len(study.kinds) - len(embeddings)]
    if study.sounds:
        missing += [len(study.kinds) - len(found.edits), len(study.mutes) - len(found.mutes)]
    if any(missing):
        print_note(f"some edits or mutes have no result and are omitted; `svdaudio show {record.id}` says why")
    if embeddings:
        files = write_files(found, study.folder, command=command, bundle=record.bundle)
        _report(found, {**files, "every run": Path(record.results["table"])}, record.bundle, as_json=as_json)
    if any(missing):
        raise typer.Exit(1)


def _report(found: Ablation, files: dict[str, Path], bundle: str, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "edits": len(found.embeddings),
                "mutes": len(found.mutes),
                "bundle": bundle,
                "reading": found.reading,
                "figures": found.values(),
                "files": {name: str(path) for name, path in files.items()},
            }
        )
        return
    screen = console()
    for one in found.tables():
        screen.print(
            table(
                one.columns,
                [["" if cell is None else cell for cell in row] for row in one.rows],
                title=f"\n{one.title}",
            )
        )
    screen.print()
    for sentence in found.reading.values():
        screen.print(sentence, markup=False)
    screen.print()
    print_files(files)
