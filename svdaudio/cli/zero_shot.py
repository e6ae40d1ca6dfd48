"""`svdaudio evaluate zero-shot`: zero-shot classification of the sounds of a data set."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from svdaudio.cli import batch, options, sessions
from svdaudio.cli.grouped import grouped
from svdaudio.cli.output import console, print_files, print_json, print_note, table
from svdaudio.places import PRETRAINED_BUNDLE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from svdaudio.engine.batches import Batch
    from svdaudio.session import Session
    from svdaudio.store import RunRecord
    from svdaudio.studies.zero_shot import ZeroShot, ZeroShotStudy

N_WORST = 10
"""Number of classes and of confusions that are printed."""

Dataset = Annotated[
    Literal["esc50", "urbansound8k", "vggsound", "audioset", "farm"],
    typer.Option("--dataset", help="The data set; farm is generated, with one or two animals in each sound."),
]
Root = Annotated[
    Path | None,
    typer.Option(
        "--root", metavar="FOLDER", parser=options.user_path,
        help="Folder of the data set, with its published tables (docs/pretraining.md).",
    ),
]  # fmt: skip
Folds = Annotated[
    list[str] | None,
    typer.Option(
        "--fold", metavar="NAME",
        help="Only this fold or split: 3, test, balanced_train. Repeatable (default all; test for VGGSound, eval for "
        "AudioSet).",
    ),
]  # fmt: skip
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit", metavar="N", min=1,
        help="Only N sounds, evenly spaced in the table; for the farm, N of each kind (default 90).",
    ),
]  # fmt: skip
Place = Annotated[
    Literal["centre", "start"],
    typer.Option("--place", help="Which 10 s of a longer sound are heard, or where in 10 s a shorter one is placed."),
]
Bundle = Annotated[str, typer.Option("--bundle", help="Bundle with a sound encoder and a guide.")]


@grouped
def zero_shot(
    *,
    dataset: Dataset,
    root: Root = None,
    fold: Folds = None,
    limit: Limit = None,
    place: Place = "centre",
    bundle: Bundle = PRETRAINED_BUNDLE,
    execution: options.StudyOptions,
) -> None:
    """Classify the sounds of ESC-50, other data sets or the farm by the label whose text is nearest.

    Embeds sounds with the bundle's sound encoder and label texts with its guide, and compares them by cosine. Reports
    the accuracy of each fold and its mean over folds with intervals over recordings, the recall of each class and
    confusions; for AudioSet, mean average precision. Embeddings are cached: repeating the command recomputes none, and
    continues an interrupted one. Sounds that cannot be read are listed.
    """
    from svdaudio.methods.embed_sound import METHOD
    from svdaudio.studies.pairs import Common
    from svdaudio.studies.zero_shot import ZeroShotStudy

    session = sessions.open_session(execution.store, execution.open_runner())
    folder = execution.out or session.out_root / f"zero-shot.{dataset}"
    if execution.out is not None:
        sessions.check_out(folder / "zero-shot.md")
    study = ZeroShotStudy(dataset=dataset, root=root, folder=folder, folds=tuple(fold or ()), limit=limit)
    texts = _texts(session, study, bundle)
    common = Common(given={"bundle": bundle, "place": place})
    prepared = batch.prepare(session, study.rows(), METHOD, common)
    command = _command(study, place=place, bundle=bundle)
    done = batch.open_and_execute(
        session, prepared, execution, files={} if root is None else {"root": root},
        title=f"{len(prepared)} sounds of {dataset}", table=folder / "runs.csv", study=study.kept(command),
    )  # fmt: skip
    _finish(session, study, texts, command, *done, as_json=execution.as_json)


def finish(session: Session, opened: Batch, record: RunRecord, runs: Sequence[RunRecord], *, as_json: bool) -> None:
    """Write the files of a batch's evaluation, and print its figures."""
    from svdaudio.studies.zero_shot import ZeroShotStudy

    study, command = ZeroShotStudy.of_record(opened.policy.study or {})
    texts = _texts(session, study, record.bundle)
    _finish(session, study, texts, command, opened, record, runs, as_json=as_json)


def _texts(session: Session, study: ZeroShotStudy, bundle: str) -> NDArray[np.float32]:
    """Embeddings of the label texts [class, dim], cached in the store without a run record.

    Raises:
        ConfigError: a label is unknown to the guide.
    """
    from svdaudio.engine.journal import no_progress
    from svdaudio.studies.zero_shot import TEXT_NODE

    request = study.text_request(session, bundle)
    run = session.run(request, record=False, progress=no_progress).run
    return session.arrays(run)[TEXT_NODE]["vectors"]


def _finish(
    session: Session,
    study: ZeroShotStudy,
    texts: NDArray[np.float32],
    command: str,
    opened: Batch,
    record: RunRecord,
    runs: Sequence[RunRecord],
    *,
    as_json: bool,
) -> None:
    from svdaudio.methods.embed_sound import NODE

    named = {job.name: run for job, run in zip(opened.jobs, runs, strict=True)}
    done = {name: run for name, run in named.items() if run.state == "finished"}
    found = study.found(
        {name: session.arrays(run, recompute=False)[NODE]["embedding"][0] for name, run in done.items()},
        texts,
        {name: run.error or run.state for name, run in named.items() if name not in done},
    )
    files = found.write(command=command, bundle=record.bundle)
    if as_json:
        paths = {name: str(path) for name, path in files.items()}
        print_json({**found.results(), "bundle": record.bundle, "batch": record.id, "files": paths})
        return
    _print(found)
    print_files(files)


def _print(found: ZeroShot) -> None:
    """Print figures, the worst classes, the most frequent confusions, and the sounds that were skipped."""
    screen = console()
    rows = [[figure.name, str(figure), figure.n, figure.goal or ""] for figure in found.figures]
    screen.print(table(["figure", "value [95 % interval]", "sounds", "goal"], rows, title=found.summary, right=[2]))
    measure = "average precision" if found.ranks else "recall"
    worst = [[one.name, f"{one.value:.3f}", one.n] for one in found.per_class[:N_WORST]]
    screen.print(table(["class", measure, "sounds"], worst, title="\nThe worst classes", right=[1, 2]))
    if found.confusions:
        pairs = [[one.label, one.heard, one.n, f"{one.share:.2f}"] for one in found.confusions[:N_WORST]]
        screen.print(table(["label", "heard instead", "sounds", "share"], pairs, title="\nConfusions", right=[2, 3]))
    screen.print()
    for name, reason in found.bad.items():
        print_note(f"{name} was not classified: {reason}")
    if missing := found.study.data.missing:
        print_note(f"{found.missing_text}, such as {missing[0]}")


def _command(study: ZeroShotStudy, *, place: str, bundle: str) -> str:
    """The command that repeats an evaluation."""
    words = ["svdaudio", "evaluate", "zero-shot", "--dataset", study.dataset]
    words += [] if study.root is None else ["--root", str(study.root)]
    words += [word for name in study.folds for word in ("--fold", name)]
    words += [] if study.limit is None else ["--limit", str(study.limit)]
    words += [] if place == "centre" else ["--place", place]
    return shlex.join([*words, "--bundle", bundle])
