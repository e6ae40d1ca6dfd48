"""Differences between runs, as plain values, for `svdaudio compare` and for pages on several runs.

    comparison = session.comparison("20260728-101500-ab12", "latest")
    for row in comparison.parameters:
        print(row.name, row.settings)

Every row has an entry for each run, in the order of `Comparison.runs`; stages are compared with those of the first run.
Of runs of different methods, only what they share is compared. Everything comes from the records; no array is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from svdaudio.config import flatten
from svdaudio.engine.plan import NodeDifference, compare_runs
from svdaudio.engine.reasons import InputChanged, Reason, reason_text
from svdaudio.engine.stage import FILE_PREFIX, Nodes
from svdaudio.store.runs import FileUse, RunRecord

LEAST_CHANGE = 0.0005
"""Scores that differ by less are shown as equal: three decimals are printed."""
RESULT = "result"
"""Name of each run's main sound, in rows of runs whose main sounds have different names."""
OTHER_BYTES = "same computation, different bytes"
"""Why a stage with the same key differs: it was computed on another machine, or on another number of threads."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The value of a parameter in a run."""

    value: Any
    source: str
    """"default", "bundle mini", "run.toml", "command line", "--set", …"""

    @property
    def is_given(self) -> bool:
        """Whether the user gave it; otherwise it is a default of the program or of the bundle."""
        return self.source != "default" and not self.source.startswith("bundle ")


@dataclass(frozen=True, kw_only=True)
class ParameterRow:
    """A parameter whose values differ."""

    name: str
    settings: tuple[Setting | None, ...]
    """None for a run that does not have this parameter."""

    @property
    def is_shared(self) -> bool:
        """Whether every run has it."""
        return None not in self.settings


@dataclass(frozen=True, kw_only=True)
class FileRow:
    """A user file whose content differs, or that some runs do not have."""

    name: str
    files: tuple[FileUse | None, ...]


@dataclass(frozen=True, kw_only=True)
class StageRow:
    """A node that differs, or that some runs did not reach."""

    node: str
    in_runs: tuple[bool, ...]
    """Whether each run computed it or found it in the store."""
    differences: tuple[NodeDifference | None, ...]
    """For each run but the first, the difference from the first; None where one of the two lacks the node."""
    is_origin: bool = False
    """Whether it differs by itself, such as in a parameter, and not only because upstream stages do."""

    @property
    def differs(self) -> bool:
        """Whether it differs between runs that have it."""
        return any(one is not None and is_different(one) for one in self.differences)

    @property
    def reason(self) -> str:
        """Why it differs; for an origin, only its own reasons."""
        reasons = [reason for one in self.differences if one is not None for reason in one.reasons]
        shown = [reason for reason in reasons if _is_own(reason)] or reasons
        unique = (one for place, one in enumerate(shown) if one not in shown[:place])  # a reason may not be hashable
        return reason_text(unique) or (OTHER_BYTES if self.differs else "")

    @property
    def same_outputs(self) -> bool:
        """Whether the outputs are the same in all runs that have it."""
        return all(one is None or one.same_outputs for one in self.differences)


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """The score of a class in a sound, 0 to 1."""

    sound: str
    """Its name, or `RESULT` for the results of runs that name them differently."""
    class_name: str
    scores: tuple[float | None, ...]
    is_asked: bool
    """Whether a run was meant to change this class, by its verdict."""

    @property
    def known(self) -> tuple[float, ...]:
        """The scores of the runs that have it."""
        return tuple(score for score in self.scores if score is not None)

    @property
    def spread(self) -> float:
        """The largest difference between two runs."""
        return max(self.known) - min(self.known)

    @property
    def is_changed(self) -> bool:
        """Whether the difference is large enough to be shown."""
        return self.spread >= LEAST_CHANGE


@dataclass(frozen=True, kw_only=True)
class VerdictRow:
    """The findings on an object; see `svdaudio.verdicts.Finding`."""

    object: str
    findings: tuple[Mapping[str, Any] | None, ...]
    """As stored in the records; None for a run whose verdict does not name the object."""

    @property
    def is_changed(self) -> bool:
        """Whether the runs disagree."""
        return len({None if one is None else (one["ok"], one["wanted"]) for one in self.findings}) > 1


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two or more runs, and how they differ."""

    runs: tuple[RunRecord, ...]
    parameters: tuple[ParameterRow, ...]
    """Only those that differ."""
    n_same_parameters: int
    files: tuple[FileRow, ...]
    """Only those that differ."""
    stages: tuple[StageRow, ...]
    """Those that differ or that some runs lack, in order of execution."""
    same_stages: tuple[str, ...]
    """Those that all runs have, with the same key and the same outputs."""
    scores: tuple[ScoreRow, ...]
    """Of sounds that all runs have: changes first, and among those the main sound first, then the `asked` classes."""
    verdict: tuple[VerdictRow, ...]
    """Disagreements first."""
    limits: tuple[str, ...]
    """What cannot be compared, and why, one sentence each."""

    @cached_property
    def origins(self) -> tuple[StageRow, ...]:
        """The stages where the workflows diverge."""
        return tuple(row for row in self.stages if row.is_origin)

    @cached_property
    def followers(self) -> tuple[StageRow, ...]:
        """The stages that differ only because upstream stages do."""
        return tuple(row for row in self.stages if row.differs and not row.is_origin)

    @cached_property
    def asked(self) -> tuple[str, ...]:
        """The classes that a run was meant to change."""
        return _asked(self.runs)

    @property
    def results(self) -> tuple[str, ...]:
        """The name of each run's main sound; empty for a run without scores."""
        return tuple(_result(run) for run in self.runs)

    def lacking(self, place: int) -> tuple[str, ...]:
        """The nodes that the run at this index lacks but another run has."""
        return tuple(row.node for row in self.stages if not row.in_runs[place])


def is_different(difference: NodeDifference) -> bool:
    """Whether a node differs in its key or, with the same key, in its outputs."""
    return bool(difference.reasons) or not difference.same_outputs


def compare_records(runs: Sequence[RunRecord], workflows: Sequence[Nodes]) -> Comparison:
    """Compare runs by their records.

    Args:
        runs: two or more.
        workflows: the nodes of each run; empty for a run of an unknown method.
    """
    differing, n_same = _parameters(runs)
    rows, same = _stages(runs, workflows)
    scores = _scores(runs)
    return Comparison(
        runs=tuple(runs),
        parameters=differing,
        n_same_parameters=n_same,
        files=_files(runs),
        stages=rows,
        same_stages=same,
        scores=scores,
        verdict=_verdict(runs),
        limits=tuple(_limits(runs, scores)),
    )


def _parameters(runs: Sequence[RunRecord]) -> tuple[tuple[ParameterRow, ...], int]:
    """The parameters that differ, and how many are the same."""
    values = [flatten(run.config) for run in runs]
    names = dict.fromkeys(name for flat in values for name in flat)
    rows: list[ParameterRow] = []
    for name in names:
        settings = tuple(
            Setting(value=flat[name], source=run.source(name)) if name in flat else None
            for run, flat in zip(runs, values, strict=True)
        )
        first = settings[0]
        if first is None or any(one is None or one.value != first.value for one in settings):
            rows.append(ParameterRow(name=name, settings=settings))
    return tuple(rows), len(names) - len(rows)


def _files(runs: Sequence[RunRecord]) -> tuple[FileRow, ...]:
    names = dict.fromkeys(name for run in runs for name in run.files)
    rows = [FileRow(name=name, files=tuple(run.files.get(name) for run in runs)) for name in names]
    return tuple(row for row in rows if len({None if one is None else one.digest for one in row.files}) > 1)


def _stages(runs: Sequence[RunRecord], workflows: Sequence[Nodes]) -> tuple[tuple[StageRow, ...], tuple[str, ...]]:
    """The nodes that differ or that a run lacks, and the names of all others."""
    first = runs[0]
    found = [
        {one.node: one for one in compare_runs(first, other, nodes)}
        for other, nodes in zip(runs[1:], workflows[1:], strict=True)
    ]
    order = dict.fromkeys(entry.node for run in (*runs[1:], first) for entry in run.stages)
    rows: list[StageRow] = []
    same: list[str] = []
    for node in order:
        in_runs = tuple(_has(run, node) for run in runs)
        if not any(in_runs):
            continue
        row = StageRow(node=node, in_runs=in_runs, differences=tuple(one.get(node) for one in found))
        if all(in_runs) and not row.differs:
            same.append(node)
            continue
        rows.append(row)
    differing = {row.node for row in rows if row.differs}
    return tuple(_with_origin(row, differing) for row in rows), tuple(same)


def _with_origin(row: StageRow, differing: set[str]) -> StageRow:
    """The row with `is_origin` set.

    Args:
        row: a node that differs or that a run lacks.
        differing: the nodes that differ.
    """
    reasons = [reason for one in row.differences if one is not None for reason in one.reasons]
    from_above = [
        one for one in reasons if isinstance(one, InputChanged) and one.source.rpartition(".")[0] in differing
    ]
    is_origin = row.differs and (not from_above or any(_is_own(reason) for reason in reasons))
    return replace(row, is_origin=is_origin)


def _is_own(reason: Reason) -> bool:
    """Whether a reason lies in the node itself or in a user file."""
    return not isinstance(reason, InputChanged) or reason.source.startswith(FILE_PREFIX)


def _has(run: RunRecord, node: str) -> bool:
    entry = run.stage(node)
    return entry is not None and entry.status in ("cached", "computed")


def _scores(runs: Sequence[RunRecord]) -> tuple[ScoreRow, ...]:
    asked = _asked(runs)
    results = [_result(run) for run in runs]
    tables: list[dict[str, Mapping[str, float]]] = [dict(run.results.get("scores", {})) for run in runs]
    if len(set(results)) > 1 and all(results):
        tables = [{RESULT: table[result], **table} for table, result in zip(tables, results, strict=True)]
    sounds = [sound for sound in tables[0] if all(sound in table for table in tables)]
    rows = [
        ScoreRow(
            sound=sound,
            class_name=name,
            scores=tuple(table[sound].get(name) for table in tables),
            is_asked=name in asked,
        )
        for sound in sounds
        for name in dict.fromkeys(one for table in tables for one in table[sound])
    ]

    def order(row: ScoreRow) -> tuple[bool, bool, int, bool, float]:
        is_result = row.sound in (RESULT, results[0])
        return (not row.is_changed, not is_result, sounds.index(row.sound), not row.is_asked, -row.spread)

    return tuple(sorted(rows, key=order))


def _result(run: RunRecord) -> str:
    """The main sound of a run; records of earlier versions do not name it, but list it last."""
    sounds = list(run.results.get("scores", {}))
    named = run.results.get("result", "")
    return named if named in sounds else sounds[-1] if sounds else ""


def _findings(run: RunRecord) -> Sequence[Mapping[str, Any]]:
    return run.results.get("verdict", ())


def _asked(runs: Iterable[RunRecord]) -> tuple[str, ...]:
    found = (one for run in runs for one in _findings(run) if one["wanted"] != "kept")
    return tuple(dict.fromkeys(one["class_name"] for one in found if one["class_name"] is not None))


def _verdict(runs: Sequence[RunRecord]) -> tuple[VerdictRow, ...]:
    tables = [{one["object"]: one for one in _findings(run)} for run in runs]
    objects = dict.fromkeys(name for table in tables for name in table)
    rows = [VerdictRow(object=name, findings=tuple(table.get(name) for table in tables)) for name in objects]
    return tuple(sorted(rows, key=lambda row: not row.is_changed))


def _limits(runs: Sequence[RunRecord], scores: Sequence[ScoreRow]) -> Iterable[str]:
    kinds = list(dict.fromkeys(run.kind for run in runs))
    if len(kinds) > 1:
        yield f"the runs use different methods ({', '.join(kinds)}): only what they share is compared"
    for run in runs:
        if run.state != "finished":
            yield f"run {run.id} did not finish: only the stages that it reached are compared"
    scored = [run for run in runs if run.results.get("scores")]
    if len(scored) < len(runs):
        yield "not every run has scores: scores are not compared" if scored else "no run has scores"
    elif any(row.sound == RESULT for row in scores):
        named = ", ".join(f"{_result(run)} of {run.id}" for run in runs)
        yield f"the main sounds have different names: '{RESULT}' compares {named}"
