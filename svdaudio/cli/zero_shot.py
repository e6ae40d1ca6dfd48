"""`svdaudio evaluate zero-shot`: which label's text is nearest to each sound of a data set."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from svdaudio.cli import batch, options, sessions
from svdaudio.cli.grouped import grouped
from svdaudio.cli.output import console, print_files, print_json, remark, table
from svdaudio.places import PRETRAINED_BUNDLE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from svdaudio.engine.batches import Batch
    from svdaudio.session import Session
    from svdaudio.store import RunRecord
    from svdaudio.studies.zero_shot import ZeroShot, ZeroShotStudy

N_WORST = 10
"""Classes and confusions that are printed."""

Dataset = Annotated[
    Literal["esc50", "urbansound8k", "vggsound", "audioset", "farm"],
    typer.Option("--dataset", help="The data set; farm is made, of one and two animals.", show_default=False),
]
Root = Annotated[
    Path | None,
    typer.Option(
        "--root", metavar="FOLDER", parser=options.user_path, show_default=False,
        help="Folder of the data set, with its tables as they are published (docs/pretraining.md).",
    ),
]  # fmt: skip
Folds = Annotated[
    list[str] | None,
    typer.Option(
        "--fold", metavar="NAME", show_default=False,
        help="Only this part: 3, test, balanced_train. Repeatable (default all; test of VGGSound, eval of AudioSet).",
    ),
]  # fmt: skip
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit", metavar="N", min=1, show_default=False,
        help="Only N sounds, at even distances in the table; of the farm N of each kind (default 90).",
    ),
]  # fmt: skip
Place = Annotated[
    Literal["centre", "start"],
    typer.Option("--place", help="Part of a longer sound, or where a shorter one lies, in the 10 s that are heard."),
]
Bundle = Annotated[str, typer.Option("--bundle", help="Bundle with a sound encoder and a guide.")]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", parser=options.user_path, show_default=False,
        help="Folder for tables and the page (default in the store's results folder).",
    ),
]  # fmt: skip


@grouped
def zero_shot(
    *,
    dataset: Dataset,
    root: Root = None,
    fold: Folds = None,
    limit: Limit = None,
    place: Place = "centre",
    bundle: Bundle = PRETRAINED_BUNDLE,
    out: Folder = None,
    store: options.Store = None,
    workers: options.Workers = 1,
    runner: options.BatchRunner = None,
    as_json: options.Json = False,
) -> None:
    """How often the label whose text is nearest to a sound is the right one, on ESC-50 and others, and on the farm.

    Sounds through the bundle's sound encoder, label texts through its guide, the nearest by cosine. Reports accuracy
    of each fold and the mean of the folds with intervals over recordings, recall of each class and confusions; mean
    average precision for AudioSet. Embeddings are kept: repeating the command computes none again, and continues an
    interrupted one. Sounds that cannot be read are listed.
    """
    from svdaudio.methods.embed_sound import METHOD
    from svdaudio.studies.pairs import Common
    from svdaudio.studies.zero_shot import ZeroShotStudy

    session = sessions.open_session(store, options.open_runner(runner))
    folder = out if out is not None else session.out_root / f"zero-shot.{dataset}"
    if out is not None:
        sessions.check_out(folder / "zero-shot.md")
    study = ZeroShotStudy(dataset=dataset, root=root, folder=folder, folds=tuple(fold or ()), limit=limit)
    texts = _texts(session, study, bundle)
    common = Common(given={"bundle": bundle, "place": place})
    prepared = batch.prepare(session, study.rows(), METHOD, common)
    how = options.BatchOptions(workers=workers, table=folder / "runs.csv")
    command = _command(study, place=place, bundle=bundle)
    opened = session.open_batch(
        prepared,
        files={} if root is None else {"root": root},
        title=f"{len(prepared)} sounds of {dataset}",
        asked=batch.asked(how, study=study.kept(command)),
    )
    record, runs = batch.execute(session, opened)
    _finish(session, study, texts, command, record, dict(zip(_names(opened), runs, strict=True)), as_json=as_json)


def finish(session: Session, opened: Batch, record: RunRecord, runs: Sequence[RunRecord], *, as_json: bool) -> None:
    """Write the files of the evaluation that a batch belongs to, and print its figures."""
    from svdaudio.studies.zero_shot import ZeroShotStudy

    study, command = ZeroShotStudy.of_record(opened.asked.study or {})
    texts = _texts(session, study, record.bundle)
    _finish(session, study, texts, command, record, dict(zip(_names(opened), runs, strict=True)), as_json=as_json)


def _names(opened: Batch) -> list[str]:
    return [job.name for job in opened.jobs]


def _texts(session: Session, study: ZeroShotStudy, bundle: str) -> NDArray[np.float32]:
    """Vectors of the labels [class, dim]. They are kept as trials are: in the store, without a run.

    Raises:
        ConfigError: the guide does not know one.
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
    record: RunRecord,
    runs: Mapping[str, RunRecord],
    *,
    as_json: bool,
) -> None:
    from svdaudio.methods.embed_sound import NODE

    done = {name: run for name, run in runs.items() if run.state == "finished"}
    found = study.found(
        {name: session.arrays(run, recompute=False)[NODE]["embedding"][0] for name, run in done.items()},
        texts,
        {name: run.error or run.state for name, run in runs.items() if name not in done},
    )
    files = found.write(command=command, bundle=record.bundle)
    if as_json:
        named = {name: str(path) for name, path in files.items()}
        print_json({**found.results(), "bundle": record.bundle, "batch": record.id, "files": named})
        return
    _print(found)
    print_files(files)


def _print(found: ZeroShot) -> None:
    """For people: figures, the worst classes, the most frequent confusions, and what was left out."""
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
        remark(f"{name} has no answer: {reason}")
    if missing := found.study.data.missing:
        remark(f"{found.missing_text}, such as {missing[0]}")


def _command(study: ZeroShotStudy, *, place: str, bundle: str) -> str:
    """The command of an evaluation."""
    words = ["svdaudio", "evaluate", "zero-shot", "--dataset", study.dataset]
    words += [] if study.root is None else ["--root", str(study.root)]
    words += [word for name in study.folds for word in ("--fold", name)]
    words += [] if study.limit is None else ["--limit", str(study.limit)]
    words += [] if place == "centre" else ["--place", place]
    return shlex.join([*words, "--bundle", bundle])
