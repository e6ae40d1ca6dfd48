"""The JSON responses of the server: plans with estimates, feedback on embeddings, results of runs, history."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from svdaudio.engine.command import command_of
from svdaudio.engine.journal import Progress
from svdaudio.engine.request import Request
from svdaudio.engine.stage import group_of
from svdaudio.errors import RunError
from svdaudio.evaluation.closer import closer_by_scores
from svdaudio.methods.mixes import mix_shares
from svdaudio.pages.lanes import lanes
from svdaudio.pages.media import frequency_marks
from svdaudio.session import Session, run_state
from svdaudio.store.runs import RunRecord

DURATION = "generate.duration_s"
N_RUNS_TIMED = 40
"""Number of newest runs from which the duration of a stage is estimated."""


def plan(session: Session, request: Request, trial_s: Mapping[str, float]) -> dict[str, Any]:
    """Plans a request, with an estimate of the time.

    Args:
        session: plans the request.
        request: the request.
        trial_s: stage → seconds that it took for a trial click or feedback, which are not recorded as runs.
    """
    duration_s = request.config.value(DURATION) if DURATION in request.method.config.parameters() else None
    typical = {**trial_s, **typical_seconds(session.runs, duration_s, duration_dependent(request))}
    stages: list[dict[str, Any]] = []
    for node in session.plan(request):
        name = node.node.stage.name
        stages.append(
            {
                "node": node.name,
                "group": group_of(node.name),
                "stage": node.name.rpartition(".")[2],
                "summary": node.node.stage.summary,
                "status": node.status,
                "reason": node.reason,
                "estimate_s": typical.get(name),
            }
        )
    due = [one for one in stages if one["status"] != "cached"]
    known = [one["estimate_s"] for one in due if one["estimate_s"] is not None]
    return {
        "stages": stages,
        "will_run": list(dict.fromkeys(one["stage"] for one in due)),
        "estimate_s": round(sum(known), 1) if known and len(known) == len(due) else (0.0 if not due else None),
        "remarks": list(request.resolved.remarks),
    }


def run_of_files(session: Session, request: Request) -> str | None:
    """The newest finished run of a request; None if the store has none."""
    if any(node.status != "cached" for node in session.plan(request)):
        return None
    config = request.config.tables()
    for run in islice(session.runs, N_RUNS_TIMED):
        same = run.kind == request.kind and run.state == "finished" and run.config == config
        if same and {name: use.digest for name, use in run.files.items()} == dict(request.file_digests):
            return run.id
    return None


def duration_dependent(request: Request) -> set[str]:
    """The stages whose time depends on the duration of the sound: those with that parameter, and all downstream."""
    nodes: set[str] = set()
    for node in request.nodes:
        if DURATION in node.bindings.values() or not nodes.isdisjoint(node.upstream):
            nodes.add(node.name)
    return {request.table[name].stage.name for name in nodes}


def typical_seconds(
    runs: Iterable[RunRecord], duration_s: float | None, duration_dependent: Collection[str]
) -> dict[str, float]:
    """Stage → median of the seconds that it took in the newest runs.

    Args:
        runs: the runs of the store, newest first.
        duration_s: duration of the planned sound; None if its method has no such parameter.
        duration_dependent: stages whose seconds are scaled to that duration.
    """
    times: dict[str, list[float]] = defaultdict(list)
    for run in islice(runs, N_RUNS_TIMED):
        before_s = run.config.get("generate", {}).get("duration_s")
        longer = duration_s / before_s if duration_s and before_s else 1
        for entry in run.stages:
            if entry.status == "computed":
                times[entry.stage].append(entry.seconds * (longer if entry.stage in duration_dependent else 1))
    return {stage: round(median(found), 3) for stage, found in times.items()}


def feedback(session: Session, request: Request, progress: Progress) -> dict[str, Any]:
    """Computes the effect of settings on the embeddings, before a sound is generated: reach, weights, class cosines.

    Runs the stages up to the CLAP embedding of the result, which is fast once the pictures are encoded.

    Args:
        session: computes the stages.
        request: the request with the settings.
        progress: receives the events of the stages.
    """
    config = request.config
    target = _target_embedding(request)
    targets = [name for name in request.table if request.table[name].stage.name == "reach"]
    if target is not None:
        targets.append(target.rpartition(".")[0])
    partial = replace(request, targets=tuple(targets))
    arrays = session.arrays(session.run(partial, record=False, pictures=False, progress=progress).run)
    reach = {group_of(name): round(float(arrays[name]["degrees"]), 3) for name in targets if name.endswith(".reach")}
    weights: list[tuple[str, float]] = []
    for node in request.table.values():
        if node.stage.name in ("mix", "mix_one"):
            shares = mix_shares({name: config.value(place) for name, place in node.bindings.items()})
            weights = [(name, round(share, 4)) for name, share in shares]
    return {
        "reach": reach or None,
        "weights": weights,
        "classes": None if target is None else _class_cosines(session, request, arrays.output(target)),
    }


def _target_embedding(request: Request) -> str | None:
    """`node.output` of the CLAP embedding from which the result is generated; None for a sum of several sounds."""
    result = request.method.sounds(request.config).get(request.method.result_of(request.config), "")
    node = request.table.get(result.rpartition(".")[0])
    while node is not None and "clap" not in node.inputs:
        if len(node.upstream) != 1:
            return None
        node = request.table.get(node.upstream[0])
    return None if node is None else node.inputs["clap"]


def _class_cosines(session: Session, request: Request, clap: Any) -> dict[str, float] | None:
    """Cosines of an embedding with the names of the classes that the bundle's text encoder knows."""
    roles = getattr(request.bundle, "roles", ())
    if "text_encoder" not in roles:
        return None
    names = request.bundle.classes("text_encoder") or request.bundle.classes("tagger")[:20]
    texts = session.models(request)["text_encoder"].embed(list(names)).float().cpu().numpy()
    cosines = texts @ np.asarray(clap).ravel() / np.linalg.norm(clap)
    return {name: round(float(value), 4) for name, value in zip(names, cosines, strict=True)}


def run_facts(session: Session, run: RunRecord, *, starred: bool) -> dict[str, Any]:
    """Describes a finished run, with its sounds as lanes."""
    report = session.report(run, pictures=False)
    arrays = session.arrays(run)
    closer = closer_by_scores(report.scores)
    [its_lanes] = lanes([(arrays, report)])
    return {
        **summary(session, run, starred=starred),
        "findings": [dict(finding) for finding in report.verdict],
        "closer": None if closer is None else closer.results(),
        "marks": {scale: frequency_marks(scale) for scale in ("mel", "linear")},
        "notes": list(report.notes),
        "result": report.result,
        "scores": {name: dict(scores) for name, scores in report.scores.items()},
        "lanes": [asdict(lane) for lane in its_lanes],
        "command": command_of(run, session.method_of(run)),
    }


def summary(session: Session, run: RunRecord, *, starred: bool) -> dict[str, Any]:
    """Describes a run for the history. Files of parameters, such as "remove.cat", are not in its title."""
    files = (use.path for name, use in run.files.items() if "." not in name)
    return {
        "id": run.id,
        "method": run.kind,
        "title": " → ".join(dict.fromkeys(Path(path).stem for path in files)),
        "created_at": run.created_at,
        "state": run_state(session.store, run),
        "bundle": run.bundle,
        "verdict": "; ".join(finding["text"] for finding in run.results.get("verdict", ())),
        "starred": starred,
    }


def history(
    session: Session, kinds: Iterable[str], stars: Mapping[str, Any], *, search: str, limit: int
) -> list[dict[str, Any]]:
    """The runs of methods that have a tab, newest first, whose description contains a text."""
    text = search.strip().lower()
    known = set(kinds)
    found: list[dict[str, Any]] = []
    for run in session.runs:
        if run.kind not in known:
            continue
        line = summary(session, run, starred=run.id in stars)
        if text in " ".join(map(str, line.values())).lower():
            found.append(line)
        if len(found) >= limit:
            break
    return found


def require_finished(run: RunRecord) -> RunRecord:
    """Returns the run if it has finished.

    Raises:
        RunError: the run has not finished.
    """
    if run.state != "finished":
        raise RunError(f"run {run.id} has no results yet", got=run.state, fix="wait for it to finish, or resume it")
    return run
