"""`svdaudio evaluate`: measuring sounds, the method, and the check for unfamiliar pictures."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdaudio.cli import batch, options, sessions, sounds, zero_shot
from svdaudio.cli.grouped import grouped
from svdaudio.cli.help import Commands, DefaultingCommands
from svdaudio.cli.output import console, print_files, print_json, print_note, table

if TYPE_CHECKING:
    from svdaudio.engine.batches import Batch
    from svdaudio.figures import Figure
    from svdaudio.session import Session
    from svdaudio.store import RunRecord
    from svdaudio.studies.edit_study import Study
    from svdaudio.studies.edits import Outcome
    from svdaudio.studies.pairs import Common, Row

app = Commands(
    help="Measure sounds (`evaluate RUN|AUDIO...` is short for `evaluate sounds`), the method on held-out edits, and "
    "the check for unfamiliar pictures.",
    cls=DefaultingCommands,
)
app.command()(sounds.sounds)
app.command("zero-shot")(zero_shot.zero_shot)

Seed = Annotated[
    int | None,
    typer.Option("--scenes", metavar="SEED", help="Seed of the scenes (default that of the held-out scenes)."),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="GOES-COMES",
        help="Only this edit: cat-duck replaces the cat by a duck. Repeatable (default all 72).",
    ),
]
Unscaled = Annotated[
    bool,
    typer.Option("--unscaled", help="Add a third control, the method with both factors 1; takes half as long again."),
]
Forms = Annotated[
    list[str] | None,
    typer.Option("--form", metavar="FORM", help="Only svd, fade, clap or stems. Repeatable (default all)."),
]
Pairs = Annotated[int, typer.Option("--pairs", min=2, max=36, help="Number of scenes of two animals.")]
OnlyConditioners = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="CONDITIONER", help="Only ssv2a, ciap or mapper. Repeatable (default all)."),
]
Ones = Annotated[int, typer.Option("--ones", min=2, max=900, help="Number of pictures of one animal.")]
Twos = Annotated[int, typer.Option("--twos", min=2, max=36, help="Number of pictures of two animals.")]
Trios = Annotated[int, typer.Option("--trios", min=2, max=84, help="Number of scenes of three animals.")]


@app.command()
@grouped
def edits(
    *,
    only: Only = None,
    unscaled: Unscaled = False,
    scenes: Seed = None,
    parameters: options.SoundParameters,
    execution: options.StudyOptions,
) -> None:
    """Measure the 72 ordered edits of the farm: each of nine animals is replaced by each other, next to a third one.

    Runs held-out scenes through the real workflow, as a batch. Reports in how many edits the score of the added animal
    rises and that of the removed one falls, and how much that of the third one changes, for the method and for two
    controls: plain SSV2A of the edited picture, and the mix with direct_mix alone. Repeating the command continues an
    interrupted one.
    """
    from svdaudio.methods.manipulate import METHOD
    from svdaudio.studies.edit_study import Study, chosen_edits
    from svdaudio.studies.edits import EDITS_SEED

    scene_seed = EDITS_SEED if scenes is None else scenes
    session = sessions.open_session(execution.store, execution.open_runner())
    folder = execution.out or session.out_root / f"edits.{scene_seed}"
    study = Study(folder=folder, kinds=chosen_edits(only), scene_seed=scene_seed, unscaled=unscaled)
    sessions.check_out(folder / "edits.csv")
    prepared = batch.prepare(session, study.pairs(), METHOD, parameters.common())
    named = {name: value for name, value in (("seed", parameters.seed), ("bundle", parameters.bundle)) if value}
    command = study.command(parameters.texts, named, config_file=parameters.config)
    done = batch.open_and_execute(
        session, prepared, execution, files={"scenes": study.scenes}, title=f"{len(study.edits)} edits",
        table=folder / "runs.csv", study=study.kept(command),
    )  # fmt: skip
    _finish(study, command, *done, as_json=execution.as_json)


@app.command()
@grouped
def faders(
    *,
    form: Forms = None,
    scenes: Seed = None,
    pairs: Pairs = 36,
    trios: Trios = 24,
    parameters: options.SoundParameters,
    execution: options.StudyOptions,
) -> None:
    """Measure mutes, faders and stems on held-out scenes of two and three animals, for each form of the edit.

    Reports how often a muted animal falls silent and how that changes the others, how well scores follow a fader, and
    whether each stem is the sound of its object. Repeating the command continues an interrupted one.
    """
    from svdaudio.files import write_bytes
    from svdaudio.studies.faders import FADERS_SEED, FORMS, FaderStudy, markdown

    seed = FADERS_SEED if scenes is None else scenes
    forms = _chosen("form", form, FORMS)
    session = sessions.open_session(execution.store, execution.open_runner())
    folder = execution.out or session.out_root / f"faders.{seed}"
    sessions.check_out(folder / "faders.md")
    study = FaderStudy(folder=folder, forms=forms, scene_seed=seed, n_pairs=pairs, n_trios=trios)
    common = parameters.common()
    results: dict[str, Any] = {}
    bundle = ""
    for kind, rows in study.rows().items():
        if rows:
            title = f"{len(rows)} cases of {kind}"
            scores, bundle = _scores(session, rows, kind, common, execution, folder / f"{kind}.csv", title)
            results |= scores
    found = study.figures(results)
    words = [] if forms == FORMS else [word for one in forms for word in ("--form", one)]
    counts = (("--pairs", pairs, 36), ("--trios", trios, 24), ("--scenes", seed, FADERS_SEED))
    command = _command("faders", words, counts, parameters)
    write_bytes(folder / "faders.md", markdown(found, command=command, bundle=bundle).encode())
    _print_figures("form", found, bundle, folder / "faders.md", as_json=execution.as_json)


@app.command()
@grouped
def conditioners(
    *,
    only: OnlyConditioners = None,
    scenes: Seed = None,
    ones: Ones = 45,
    twos: Twos = 36,
    parameters: options.SoundParameters,
    execution: options.StudyOptions,
) -> None:
    """Compare plain SSV2A, CIAP and a mapper from CLIP to CLAP on held-out pictures of one and of two animals.

    Reports how often the animals of a picture have the highest scores in its sound. The bundle, by default
    mini-pretrained, needs a model for each conditioner. Repeating the command continues an interrupted one.
    """
    from svdaudio.files import write_bytes
    from svdaudio.places import PRETRAINED_BUNDLE
    from svdaudio.studies.conditioners import CONDITIONERS, SCENES_SEED, SOUND, ConditionerStudy, markdown

    seed = SCENES_SEED if scenes is None else scenes
    chosen = _chosen("conditioner", only, tuple(CONDITIONERS))
    session = sessions.open_session(execution.store, execution.open_runner())
    folder = execution.out or session.out_root / f"conditioners.{seed}"
    sessions.check_out(folder / "conditioners.md")
    study = ConditionerStudy(folder=folder, scene_seed=seed, n_ones=ones, n_twos=twos)
    common = replace(parameters.common(), given={"bundle": PRETRAINED_BUNDLE, **parameters.given()})
    rows, scores, bundle = study.rows(), dict[str, Any](), ""
    for one in chosen:
        title = f"{len(rows)} pictures by {one}"
        named, bundle = _scores(session, rows, CONDITIONERS[one], common, execution, folder / f"{one}.csv", title)
        scores[one] = {name: sounds[SOUND] for name, sounds in named.items()}
    found = study.figures(scores)
    words = [] if not only else [word for one in chosen for word in ("--only", one)]
    counts = (("--ones", ones, 45), ("--twos", twos, 36), ("--scenes", seed, SCENES_SEED))
    command = _command("conditioners", words, counts, parameters)
    write_bytes(folder / "conditioners.md", markdown(found, command=command, bundle=bundle).encode())
    _print_figures("conditioner", found, bundle, folder / "conditioners.md", as_json=execution.as_json)


@app.command()
def domain(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FOLDER...", parser=options.user_path,
            help="Folders of pictures unlike those that the bundle was trained on, such as photographs.",
        ),
    ] = None,
    *,
    bundle: options.Bundle = None,
    as_json: options.Json = False,
) -> None:  # fmt: skip
    """Measure how reliably a bundle flags pictures unlike those that it was trained on.

    Reports the share of held-out scenes of the farm that are flagged by mistake, and for each folder the share of its
    pictures that are flagged, as in the notes of `run`.
    """
    from dataclasses import asdict

    from svdaudio.checkpoints.models import Models
    from svdaudio.cli.output import error_console, quiet_stdout
    from svdaudio.figures import mean_figure
    from svdaudio.mini.domain_evaluation import domain_figures, flagged, pictures_in

    pictures = {folder: pictures_in(folder) for folder in folders or ()}
    opened = sessions.open_bundle(bundle or "mini")
    known = opened.load_domain()
    with error_console().status("measuring"), quiet_stdout():
        models = Models(opened, keep=True)
        encoder, detector = models["image_encoder"], models["detector"]
        figures = list(domain_figures(known, encoder, detector))
        found: dict[Path, tuple[str, ...]] = {}
        for folder, inside in pictures.items():
            departures = flagged(known, encoder, detector, inside.values())
            found.update(zip(inside, departures, strict=True))
            figures.append(mean_figure(f"pictures in {folder} flagged", [float(bool(each)) for each in departures]))
    if as_json:
        flags = [{"picture": str(path), "departures": list(each)} for path, each in found.items()]
        print_json({"bundle": opened.name, "figures": [asdict(figure) for figure in figures], "pictures": flags})
        return
    screen = console()
    for path, each in found.items():
        screen.print(f"{path.name}: {'; '.join(each) or 'not flagged'}", markup=False)
    rows = [[figure.name, str(figure), figure.n, figure.goal or ""] for figure in figures]
    screen.print(table(["figure", "value [95 % interval]", "pictures", "goal"], rows, right=[2]))


def _chosen(what: str, names: Sequence[str] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """The given names in their usual order, or all.

    Raises:
        InputError: a name is unknown.
    """
    from svdaudio.errors import InputError

    if unknown := [name for name in names or () if name not in known]:
        raise InputError(f"unknown {what}", expected=" or ".join(known), got=unknown[0])
    return tuple(name for name in known if not names or name in names)


def _scores(
    session: Session, rows: Sequence[Row], method: str, common: Common, execution: options.StudyOptions, table: Path,
    title: str,
) -> tuple[dict[str, Any], str]:  # fmt: skip
    """Run the rows as a batch; returns name → sound → class → score, and the bundle.

    Raises:
        typer.Exit: with 1 if a row has no result.
    """
    from svdaudio.methods import find_method

    prepared = batch.prepare(session, rows, find_method(method), common)
    scenes = table.parent / "scenes"
    opened, record, runs = batch.open_and_execute(
        session, prepared, execution, files={"scenes": scenes}, title=title, table=table
    )
    if record.state != "finished":
        print_note(f"some runs have no result; `svdaudio show {record.id}` says why")
        raise typer.Exit(1)
    return {job.name: run.results.get("scores") for job, run in zip(opened.jobs, runs, strict=True)}, record.bundle


def _command(
    name: str, words: Sequence[str], counts: Sequence[tuple[str, int, int]], parameters: options.SoundParameters
) -> str:
    """The command that repeats an evaluation.

    Args:
        name: of the evaluation.
        words: its own options.
        counts: option, value and default of each number.
        parameters: the given parameters.
    """
    words = [*words, *(word for option, value, default in counts if value != default for word in (option, str(value)))]
    words += [] if parameters.config is None else ["--config", str(parameters.config)]
    words += [word for text in parameters.texts for word in ("--set", text)]
    named = (("--seed", parameters.seed), ("--bundle", parameters.bundle))
    words += [word for option, value in named if value is not None for word in (option, str(value))]
    return shlex.join(["svdaudio", "evaluate", name, *words])


def _print_figures(
    heading: str, found: Mapping[str, Sequence[Figure]], bundle: str, page: Path, *, as_json: bool
) -> None:
    """Print the figures of each form or conditioner, and the path of their page."""
    if as_json:
        print_json({"bundle": bundle, "figures": _figures_json(found), "files": {"page": str(page)}})
        return
    body = [
        [one, figure.name, str(figure), figure.n, str(figure.goal or "")]
        for one, row in found.items()
        for figure in row
    ]
    screen = console()
    screen.print(table([heading, "figure", "value", "n", "goal"], body))
    screen.print()
    print_files({"page": page})


def _figures_json(found: Mapping[str, Sequence[Figure]]) -> dict[str, Any]:
    return {
        name: {f.name: {"value": f.value, "low": f.low, "high": f.high, "n": f.n} for f in row}
        for name, row in found.items()
    }


def finish(session: Session, opened: Batch, record: RunRecord, runs: Sequence[RunRecord], *, as_json: bool) -> None:
    """Write the files of a batch's study, and print its figures.

    Raises:
        typer.Exit: with 1 if an edit has no result.
    """
    from svdaudio.studies.edit_study import Study

    del session  # the runs are all that is needed
    study, command = Study.of_record(opened.policy.study or {})
    _finish(study, command, opened, record, runs, as_json=as_json)


def _finish(
    study: Study, command: str, opened: Batch, record: RunRecord, runs: Sequence[RunRecord], *, as_json: bool
) -> None:
    n_edits = len(study.edits)
    outcomes = study.outcomes({job.name: run.results for job, run in zip(opened.jobs, runs, strict=True)})
    missing = n_edits - len(outcomes)
    if missing:
        print_note(f"{missing} of {n_edits} edits have no result and are omitted; `svdaudio show {record.id}` says why")
    if outcomes:
        files = study.write(outcomes, command=command, bundle=record.bundle)
        _report(outcomes, {**files, "every run": Path(record.results["table"])}, record.bundle, as_json=as_json)
    if missing:
        raise typer.Exit(1)


def _report(outcomes: Sequence[Outcome], files: dict[str, Path], bundle: str, *, as_json: bool) -> None:
    from svdaudio.studies import edits as library

    variants = list(outcomes[0].sounds)
    found = {variant: library.figures(outcomes, variant) for variant in variants}
    if as_json:
        paths = {name: str(path) for name, path in files.items()}
        print_json({"edits": len(outcomes), "bundle": bundle, "figures": _figures_json(found), "files": paths})
        return
    screen = console()
    body = [
        [figure.name, *(str(found[variant][place]) for variant in variants)]
        for place, figure in enumerate(found[library.METHOD])
    ]
    screen.print(table(["against the sound of the original", *variants], body, title=f"{len(outcomes)} edits"))
    own = [[figure.name, str(figure)] for control in variants[1:] for figure in library.differences(outcomes, control)]
    screen.print(table(["difference, edit by edit", "mean"], own, title="\n"))
    screen.print()
    print_files(files)
