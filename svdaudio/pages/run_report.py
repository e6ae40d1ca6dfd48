"""The report of one or several runs: an HTML file to view, listen to and send, which opens offline.

    page = run_page([(arrays, report, bundle)], store)
    write_bytes(path, page.encode())

All of its content comes from the artifacts and records of the runs and from their methods; no stage is computed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.licences import licence_of
from svdaudio.config import flatten
from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.command import command_of, was_given
from svdaudio.engine.stage import group_of
from svdaudio.evaluation.closer import Closeness, closer_by_scores
from svdaudio.methods.mixes import mix_shares
from svdaudio.mixing.levels import SILENCE
from svdaudio.pages.hearing import Hearing, hearings
from svdaudio.pages.lanes import Lane, lanes
from svdaudio.pages.media import N_WAVE_COLUMNS, WAVE_HEIGHT, frequency_marks
from svdaudio.pages.pictures import Picture, pictures
from svdaudio.pages.render import render
from svdaudio.pages.workflow import CELL_HEIGHT, CELL_WIDTH, WorkflowPicture, workflow_picture
from svdaudio.store.base import Store
from svdaudio.store.runs import RunRecord
from svdaudio.views.plots import LOWEST_DB
from svdaudio.views.report import Report
from svdaudio.views.stages import nodes_done

LEAST_SCORE = 0.05
"""Classes that stay below this score in every sound are counted, not listed."""
N_DIGEST_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How far a factor moved a region's embedding, and the singular values before and after scaling."""

    region: str
    factor: float
    k: int
    degrees: float
    share: float
    before: Sequence[float]
    after: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """The scores of one class: a dumbbell from the first sound to the result, with marks for the other sounds."""

    name: str
    wanted: str
    """"added", "removed", "kept" …; empty if the verdict does not name it."""
    before: float
    after: float
    others: Sequence[tuple[str, float]]
    """Sound → score."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model that a run used."""

    role: str
    digest: str
    licence: str


@dataclass(frozen=True, kw_only=True)
class RunContents:
    """The content of the report for one run."""

    id: str
    kind: str
    title: str
    created_at: str
    bundle: str
    seed: Any
    seconds: float
    counts: Mapping[str, int]
    code_version: str
    state: str
    error: str
    """Why it failed; empty if it did not."""
    verdict: Sequence[Mapping[str, Any]]
    closer: Closeness | None
    """Whether the sound of an edit is closer to the edited picture's sound than to the original's."""
    notes: Sequence[str]
    pictures: Sequence[Picture]
    reaches: Sequence[Reach]
    weights: Sequence[tuple[str, float]]
    """Parts of the mix and their shares, which add up to 1."""
    gains: Sequence[tuple[str, str]]
    hearings: Sequence[Hearing]
    """Sounds that were compared with labels."""
    files: Sequence[tuple[str, str]]
    """Name and sha256 of each user file."""
    lanes: Sequence[Lane]
    repeated: Sequence[str]
    """Sounds that are bit-identical to those of an earlier run on the page, and have no lane here."""
    first: str
    """The sound that the result's scores are compared with."""
    result: str
    scores: Sequence[ScoreRow]
    n_quiet_classes: int
    workflow: WorkflowPicture
    models: Sequence[Model]
    command: str


@dataclass(frozen=True, kw_only=True)
class ParameterRow:
    """One parameter, in all runs."""

    name: str
    meaning: str
    values: Sequence[tuple[str, str]]
    """Value and source in each run."""
    given: bool
    """Whether the user set it in any of the runs."""
    differs: bool


Shown = tuple[RunArrays, Report, Bundle]
"""The arrays of a run, its files, and its bundle."""


def run_page(shown: Sequence[Shown], store: Store) -> str:
    """The report as HTML.

    Args:
        shown: one or several runs; the others are compared with the first.
        store: the store with their artifacts.

    Raises:
        StoreError: an artifact is missing or damaged.
    """
    all_lanes = lanes([(arrays, report) for arrays, report, _ in shown])
    runs = [_contents(*one, its_lanes, store) for one, its_lanes in zip(shown, all_lanes, strict=True)]
    records = [arrays.run for arrays, _, _ in shown]
    return render(
        "report.html.j2",
        scripts=("player.js", "report.js"),
        styles=("page.css", "report.css"),
        title=" · ".join(dict.fromkeys(run.title for run in runs)),
        runs=runs,
        parameters=_parameters([arrays for arrays, _, _ in shown]),
        files=_file_differences(records),
        same_pictures=all(_digests(run) == _digests(runs[0]) for run in runs),
        marks={"mel": frequency_marks("mel"), "linear": frequency_marks("linear")},
        wave={"width": N_WAVE_COLUMNS, "height": WAVE_HEIGHT},
        cell={"width": CELL_WIDTH, "height": CELL_HEIGHT},
        lowest_db=LOWEST_DB,
        lane_data=[
            {"id": lane.id, "name": lane.name, "lufs": lane.loudness_lufs, "duration": lane.duration_s}
            for of_run in all_lanes
            for lane in of_run
        ],
        n_digest_digits=N_DIGEST_DIGITS,
    )


def _digests(run: RunContents) -> list[tuple[str, str]]:
    return [(picture.name, picture.digest) for picture in run.pictures]


def _contents(
    arrays: RunArrays, report: Report, bundle: Bundle, its_lanes: Sequence[Lane], store: Store
) -> RunContents:
    run = arrays.run
    heard = hearings(arrays)
    scores, n_quiet = ([], 0) if heard else _scores(report)
    return RunContents(
        id=run.id,
        kind=run.kind,
        title=" → ".join(dict.fromkeys(Path(use.path).stem for use in run.files.values())),
        created_at=run.created_at[:16].replace("T", " "),
        bundle=run.bundle,
        seed=run.config.get("seed"),
        seconds=run.seconds,
        counts=Counter(entry.status for entry in run.stages),
        code_version=run.code_version,
        state=run.state,
        error=run.error or "",
        verdict=report.verdict,
        closer=closer_by_scores(report.scores),
        notes=report.notes,
        pictures=pictures(arrays),
        reaches=_reaches(arrays),
        weights=_weights(arrays),
        gains=_gains(arrays),
        hearings=heard,
        files=[(Path(use.path).name, use.digest) for use in run.files.values()],
        lanes=its_lanes,
        repeated=[name for name in report.audio if name not in {lane.name for lane in its_lanes}],
        first=next(iter(report.scores), ""),
        result=report.result,
        scores=scores,
        n_quiet_classes=n_quiet,
        workflow=workflow_picture(arrays, store),
        models=_models(run, bundle),
        command=command_of(run, arrays.method),
    )


def _scores(report: Report) -> tuple[list[ScoreRow], int]:
    """The rows, with classes of the verdict first, and the number of classes that are barely heard in any sound."""
    if not report.scores:
        return [], 0
    first = next(iter(report.scores))
    last = report.result if report.result in report.scores else list(report.scores)[-1]
    others = [name for name in report.scores if name not in (first, last, *(report.stems or ()))]
    wanted = {finding["class_name"]: finding["wanted"] for finding in report.verdict if finding["class_name"]}
    loudest = {name: max(row.get(name, 0.0) for row in report.scores.values()) for name in report.scores[last]}
    names = [name for name in wanted if name in loudest]
    names += sorted((n for n in loudest if n not in wanted and loudest[n] >= LEAST_SCORE), key=lambda n: -loudest[n])
    rows = [
        ScoreRow(
            name=name,
            wanted=wanted.get(name, ""),
            before=report.scores[first].get(name, 0.0),
            after=report.scores[last].get(name, 0.0),
            others=[(sound, report.scores[sound].get(name, 0.0)) for sound in others],
        )
        for name in names
    ]
    return rows, len(loudest) - len(rows)


def _reaches(arrays: RunArrays) -> list[Reach]:
    found: list[Reach] = []
    for node in nodes_done(arrays, "reach"):
        parameters, measured = arrays.parameters(node), arrays[node]
        values = arrays.output(arrays.nodes[node].inputs["s"]).tolist()
        k, factor = int(parameters["k"]), float(parameters["factor"])
        found.append(
            Reach(
                region=group_of(node),
                factor=factor,
                k=k,
                degrees=float(measured["degrees"]),
                share=float(measured["share"]),
                before=values,
                after=[value * factor if place < k else value for place, value in enumerate(values)],
            )
        )
    return found


def _weights(arrays: RunArrays) -> list[tuple[str, float]]:
    for node in (*nodes_done(arrays, "mix"), *nodes_done(arrays, "mix_one")):
        return mix_shares(arrays.parameters(node))
    return []


def _gains(arrays: RunArrays) -> list[tuple[str, str]]:
    """The gains, if the workflow uses them."""
    bound = [name for node in arrays.nodes.values() for name in node.bindings.values()]
    used = any(name.partition(".")[0] == "gains" for name in bound)
    table: Mapping[str, Any] = arrays.config.gains if used else {}
    return [(name, "silent" if gain == SILENCE else f"{gain:+g} dB") for name, gain in table.items()]


def _models(run: RunRecord, bundle: Bundle) -> list[Model]:
    used = {
        role: digest for entry in run.stages if entry.action is not None for role, digest in entry.action.models.items()
    }
    return [
        Model(
            role=role,
            digest=digest,
            licence=licence_of(bundle.entry(role)) if role in bundle.roles else "no longer in the bundle",
        )
        for role, digest in used.items()
    ]


def _parameters(runs: Sequence[RunArrays]) -> list[ParameterRow]:
    """Every parameter: those that differ first, then those that the user set."""
    values = [flatten(arrays.run.config) for arrays in runs]
    meanings = {
        name: parameter.meaning for arrays in runs for name, parameter in arrays.method.config.parameters().items()
    }
    rows = [
        ParameterRow(
            name=name,
            meaning=next((meanings[one] for one in (name, name.partition(".")[0]) if one in meanings), ""),
            values=[
                (_text(found[name]), arrays.run.source(name)) if name in found else ("–", "")
                for found, arrays in zip(values, runs, strict=True)
            ],
            given=any(was_given(arrays.run, name) for arrays in runs),
            differs=len({_text(found.get(name)) for found in values}) > 1,
        )
        for name in dict.fromkeys(name for found in values for name in found)
    ]
    return sorted(rows, key=lambda row: (not row.differs, not row.given))


def _file_differences(runs: Sequence[RunRecord]) -> list[tuple[str, list[str]]]:
    """Name of each file whose content differs between runs, and its file name in each run."""
    names: Iterable[str] = dict.fromkeys(name for run in runs for name in run.files)
    return [
        (name, [Path(run.files[name].path).name if name in run.files else "–" for run in runs])
        for name in names
        if len({run.files[name].digest if name in run.files else None for run in runs}) > 1
    ]


def _text(value: object) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
