"""A batch: many runs that are computed together, with one record in the store and one table of results.

    batch = open_batch(store, prepared, files={"pairs": path}, title="pairs.csv")   # or reopen_batch(...)
    record, runs = svdaudio.engine.batch.run_batch(batch, ...)
    write_table(path, table(batch.members, runs))

The record is a `RunRecord` of kind "batch" whose results name one ordinary run for each pair. Its id ends in "-batch"
and is newer than those of its runs, so that `svdaudio resume` finds it first. A batch that was stopped or killed, or in
which pairs failed, is found again by a digest of its work. Its record describes its pairs and options completely, so
that it can be resumed without the original command and without the records of its runs.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import gethostname
from typing import Any, Literal, cast

from svdaudio.config import Resolved, flatten, nested
from svdaudio.engine.method import Method
from svdaudio.engine.request import (
    BundleFacts,
    Request,
    check,
    code_version,
    new_run,
    resumed_request,
    with_sources,
)
from svdaudio.errors import InputError, RunError
from svdaudio.files import write_bytes
from svdaudio.store.base import Store
from svdaudio.store.keys import canonical, digest_file
from svdaudio.store.runs import FileUse, RunRecord, new_run_id

KIND = "batch"
UNNAMED_METHOD = "manipulate"
"""The method of entries that do not name one, as in records of the versions that had no other for batches."""
ID_ENDING = "-batch"
TABLE_KINDS = (".csv", ".jsonl")

DEFAULT = "default"
"""The source of a value whose source is not in the record."""

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""First characters of cells that spreadsheets interpret as formulas."""

OnError = Literal["continue", "stop"]

REPORTED = ("audio", "pictures", "scores")
"""Groups of a run's results that are not measures of its method."""


@dataclass(frozen=True, kw_only=True)
class BatchPolicy:
    """How a batch is executed and where its table goes; its record keeps it for `resume`."""

    table: str | None = None
    """Path of its table; None for the store's results folder."""
    pictures: bool = False
    on_error: OnError = "continue"
    n_workers: int = 1
    study: Mapping[str, Any] | None = None
    """The study that it belongs to, as the study's `kept` returns it: its "kind", and the data to resume it."""


DEFAULT_POLICY = BatchPolicy()


@dataclass(frozen=True, kw_only=True)
class Member:
    """One pair of a batch, as it stands in the batch's record."""

    name: str
    run: str
    """Id of its run."""
    out: str | None = None
    """Path for a copy of the main sound."""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The parameters in which it differs from the others: dotted name → value."""
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    """Its files: name → the fields of a `FileUse`."""
    kind: str = UNNAMED_METHOD
    """The method of its run."""
    own: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Its configuration, apart from what all pairs share (in the record of the batch): dotted name → value."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One pair, and everything needed to run it."""

    member: Member
    request: Request
    run: RunRecord

    @property
    def name(self) -> str:
        """The pair's name."""
        return self.member.name

    @property
    def done(self) -> bool:
        """Whether its run is finished and its files are written."""
        return self.run.state == "finished" and bool(self.run.results)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch that is about to start or to be resumed."""

    record: RunRecord
    jobs: tuple[Job, ...]

    @property
    def policy(self) -> BatchPolicy:
        """Its options."""
        return policy_of(self.record)

    @property
    def members(self) -> tuple[Member, ...]:
        """Its pairs, in the order of the file."""
        return tuple(job.member for job in self.jobs)

    @property
    def n_done(self) -> int:
        """Number of pairs that are done."""
        return sum(job.done for job in self.jobs)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A checked member of a batch that is about to be opened."""

    name: str
    request: Request
    out: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The parameters in which it differs from the others, for the table: dotted name → value."""

    @property
    def resolved(self) -> Resolved[Any]:
        """Its configuration."""
        return self.request.resolved


FindMethod = Callable[[str], Method]
"""Finds a method by its name."""
OpenBundle = Callable[[str], BundleFacts]
"""Finds a bundle by its name."""


def open_batch(
    store: Store,
    prepared: Sequence[Prepared],
    *,
    files: Mapping[str, Path],
    title: str,
    runner: str = "in-process",
    policy: BatchPolicy = DEFAULT_POLICY,
) -> Batch:
    """The batch of these pairs: an unfinished batch of the same work in the store, else a new one.

    Args:
        store: where runs are.
        prepared: the checked pairs.
        files: the files that the pairs were read from, by name, for the record.
        title: of the batch, for display.
        runner: "in-process" or "prefect".
        policy: the batch's options, kept in the record for `reopen_batch`.

    Raises:
        InputError: a file is missing or cannot be read.
        StoreError: the store cannot be written.
    """
    # Files are hashed here, once; the requests keep the digests.
    identity = digest_of_work(prepared)
    earlier = _unfinished(store, identity)
    jobs: list[Job] = []
    if earlier is not None:
        members = {member.name: member for member in members_of(earlier)}
        for one in prepared:
            member = members[one.name]
            run = _kept_run(store, member)
            if run is None:
                run = _new_in_place_of(store, member, new_run(one.request, runner=runner))
            jobs.append(Job(member=member, request=one.request, run=run))
        record = replace(earlier, results={**earlier.results, "asked": asdict(policy)})
        return Batch(record=record, jobs=tuple(jobs))
    runs = _new_runs(prepared, runner)
    shared = _shared([flatten(run.config) for run in runs])
    for one, run in zip(prepared, runs, strict=True):
        member = Member(
            name=one.name,
            run=run.id,
            out=None if one.out is None else str(one.out.absolute()),
            kind=one.request.kind,
            settings=one.settings,
            files={name: asdict(use) for name, use in run.files.items()},
            own={name: value for name, value in flatten(run.config).items() if name not in shared},
        )
        jobs.append(Job(member=member, request=one.request, run=run))
    results = {"title": title, "identity": identity, "members": [_member_entry(job.member) for job in jobs]}
    record = _record(jobs, shared, files=files, runner=runner, results={**results, "asked": asdict(policy)})
    for job in jobs:
        store.runs.write(replace(job.run, state="interrupted"), durable=False)
    store.runs.write(record)
    return Batch(record=record, jobs=tuple(jobs))


def _new_runs(prepared: Sequence[Prepared], runner: str) -> list[RunRecord]:
    """A run for each pair. Ids created within a millisecond differ in four random digits only, so two may collide."""
    runs: dict[str, RunRecord] = {}
    for one in prepared:
        run = new_run(one.request, runner=runner)
        while run.id in runs:
            run = replace(run, id=new_run_id())
        runs[run.id] = run
    return list(runs.values())


def reopen_batch(record: RunRecord, store: Store, open_bundle: OpenBundle, find_method: FindMethod) -> Batch:
    """A batch from its record, to continue it.

    Args:
        record: of the batch.
        store: where runs are.
        open_bundle: finds bundles.
        find_method: finds the methods of its runs.

    Raises:
        RunError: a file has changed since, or the record was written by an incompatible version.
    """
    bundles: dict[str, BundleFacts] = {}

    def bundle_named(name: str) -> BundleFacts:
        if name not in bundles:
            bundles[name] = open_bundle(name)
        return bundles[name]

    jobs: list[Job] = []
    for member, kept in kept_runs(record, store):
        if kept is not None:
            request = check(resumed_request(kept, find_method(kept.kind), bundle_named(kept.bundle)), store)
            run = kept
        else:
            new, request = _recreated(record, member, bundle_named, find_method)
            run = _new_in_place_of(store, member, new)
        jobs.append(Job(member=member, request=request, run=run))
    return Batch(record=record, jobs=tuple(jobs))


def kept_runs(record: RunRecord, store: Store) -> list[tuple[Member, RunRecord | None]]:
    """The pairs of a batch with their runs; None where the record of a run is missing or damaged.

    Raises:
        RunError: the record is not that of a batch.
    """
    return [(member, _kept_run(store, member)) for member in members_of(record)]


def _kept_run(store: Store, member: Member) -> RunRecord | None:
    """The run of a pair, if its record exists and is intact."""
    try:
        return store.runs.read(member.run)
    except (FileNotFoundError, ValueError):
        return None


def _new_in_place_of(store: Store, member: Member, run: RunRecord) -> RunRecord:
    """A new run in place of one whose record is lost; artifacts of the old run are reused.

    It keeps the old id, which the batch's record names and which sorts before that of the batch.
    """
    run = replace(run, id=member.run)
    store.runs.write(replace(run, state="interrupted"), durable=False)
    return run


def _recreated(
    record: RunRecord, member: Member, bundle_named: OpenBundle, find_method: FindMethod
) -> tuple[RunRecord, Request]:
    """A new run of a pair and its request, from the pair's entry in the batch's record."""
    if not member.files:  # the record was written by an earlier version, without them
        raise RunError(f"run {member.run} of '{member.name}' is missing", fix="repeat the command of the batch")
    flat = {**flatten(record.config), **member.own}
    files = {name: FileUse(**use) for name, use in member.files.items()}
    known = RunRecord(
        id=member.run, kind=member.kind, created_at=record.created_at, files=files, config=nested(flat),
        targets=record.targets,
    )  # fmt: skip
    request = resumed_request(known, find_method(member.kind), bundle_named(flat["bundle"]))
    sources = {**record.sources, **dict.fromkeys(member.own, f"batch {record.id}")}
    request = check(replace(request, resolved=with_sources(request.config, sources)))
    return new_run(request, runner=record.runner), request


def policy_of(record: RunRecord) -> BatchPolicy:
    """The options of a batch; the defaults if its record is too old to hold them.

    Raises:
        RunError: the record was written by an incompatible version.
    """
    try:
        return BatchPolicy(**record.results.get("asked", {}))
    except TypeError as error:
        raise _other_version(record) from error


def _member_entry(member: Member) -> dict[str, Any]:
    """A member as an entry of the record; `UNNAMED_METHOD` is omitted, as in earlier records."""
    entry = asdict(member)
    if member.kind == UNNAMED_METHOD:
        del entry["kind"]
    return entry


def members_of(record: RunRecord) -> tuple[Member, ...]:
    """The pairs in the record of a batch.

    Raises:
        RunError: the record is not that of a batch.
    """
    if record.kind != KIND:
        raise RunError(f"run {record.id} is not a batch", got=record.kind)
    try:
        return tuple(Member(**entry) for entry in record.results["members"])
    except (KeyError, TypeError) as error:
        raise _other_version(record) from error


def _other_version(record: RunRecord) -> RunError:
    return RunError(
        f"the record of batch {record.id} was written by an incompatible version of svdaudio",
        fix="start the batch again",
    )


def closed(record: RunRecord, runs: Iterable[RunRecord], *, seconds: float, table: Path | None) -> RunRecord:
    """The final record of a batch: how many pairs are in each state, and the path of the table."""
    states = [run.state for run in runs]
    counts = {state: states.count(state) for state in dict.fromkeys(states)}
    finished = all(state == "finished" for state in states)
    state = "finished" if finished else "failed" if "failed" in states else "interrupted"
    results = {**record.results, "counts": counts, "table": None if table is None else str(table)}
    error = None if state != "failed" else f"{counts['failed']} of {len(states)} pairs failed"
    return replace(record, state=state, seconds=seconds, results=results, error=error)


def table(members: Sequence[Member], runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """The results of a batch, one row per pair, every row with the same columns.

    Columns: name, the parameters in which pairs differ, files, state, run, seconds (of its own stages), error, a score
    for each sound and class ("original.dog"), the measures of the method ("cosine.edited"), the file of each sound
    ("original.wav"), and notes, if any pair has some. Missing values are None.
    """
    rows: list[dict[str, Any]] = []
    settings = list(dict.fromkeys(name for member in members for name in member.settings))
    for member, run in zip(members, runs, strict=True):
        row: dict[str, Any] = {"name": member.name}
        row.update({name: _text(member.settings.get(name)) for name in settings})
        row.update(
            {f"{which}": Path(use.path).name for which, use in run.files.items()},
            state=run.state, run=run.id, seconds=round(sum(entry.seconds for entry in run.stages), 3),
            error=run.error,
        )  # fmt: skip
        scores = cast("Mapping[str, Mapping[str, float]]", run.results.get("scores", {}))
        row.update({f"{sound}.{name}": score for sound, classes in scores.items() for name, score in classes.items()})
        for group, figures in run.results.items():
            if group not in REPORTED and isinstance(figures, Mapping):
                named = cast("Mapping[str, float]", figures)
                row.update({f"{group.removesuffix('s')}.{name}": value for name, value in named.items()})
        audio = cast("Mapping[str, str]", run.results.get("audio", {}))
        row.update({f"{sound}.wav": path for sound, path in audio.items()})
        if run.results.get("notes"):
            row["notes"] = "; ".join(run.results["notes"])
        rows.append(row)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: row.get(name) for name in columns} for row in rows]


def check_table(path: Path) -> None:
    """Reject a path that `write_table` cannot write.

    Raises:
        InputError: the path has another suffix than `.csv` or `.jsonl`, or is a folder.
    """
    if path.suffix.lower() not in TABLE_KINDS or path.is_dir():
        raise InputError(
            f"{path} is not a valid table file", expected=f"a name that ends in {' or '.join(TABLE_KINDS)}"
        )


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows as CSV or as JSON, one object per line, atomically.

    Raises:
        StoreError: the file cannot be written.
    """
    if path.suffix.lower() == ".jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    else:
        buffer = io.StringIO(newline="")
        writer = csv.DictWriter(buffer, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _as_cell(value) for name, value in row.items()} for row in rows)
        text = buffer.getvalue()
    write_bytes(path, text.encode())
    return path


def _as_cell(value: object) -> object:
    """A value as a cell: text that a spreadsheet would interpret as a formula is prefixed with an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def _text(value: object) -> object:
    return json.dumps(value) if isinstance(value, list | dict) else value


def _record(
    jobs: Sequence[Job], shared: Mapping[str, Any], *, files: Mapping[str, Path], runner: str, results: dict[str, Any]
) -> RunRecord:
    newest = datetime.now(UTC) + timedelta(milliseconds=1)  # ids sort by the millisecond
    return RunRecord(
        id=new_run_id(newest) + ID_ENDING,
        kind=KIND,
        created_at=newest.isoformat(timespec="milliseconds"),
        files={
            name: FileUse(path=str(path.absolute()), digest=digest_file(path, name=name) if path.is_file() else "")
            for name, path in files.items()
        },
        config=nested(shared),
        sources=_sources([job.run.sources for job in jobs], shared),
        remarks=tuple(dict.fromkeys(text for job in jobs for text in job.run.remarks)),
        bundle=", ".join(dict.fromkeys(job.run.bundle for job in jobs)),
        targets=tuple(dict.fromkeys(target for job in jobs for target in job.run.targets)),
        state="interrupted",
        runner=runner,
        results=results,
        code_version=code_version(),
        host=gethostname(),
    )


def _shared(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The entries that all mappings have in common."""
    first, *others = each or [{}]
    return {name: value for name, value in first.items() if all(one.get(name) == value for one in others)}


def _sources(each: Sequence[Mapping[str, str]], names: Iterable[str]) -> dict[str, str]:
    """The sources of the values that all pairs share; defaults are omitted."""
    found: dict[str, str] = {}
    for name in names:
        first, *others = dict.fromkeys(sources.get(name, DEFAULT) for sources in each)
        if others or first != DEFAULT:
            found[name] = "the pairs" if others else first
    return found


def digest_of_work(prepared: Sequence[Prepared]) -> str:
    """A digest of everything that the batch computes and writes, without `execution` parameters.

    Parameters with their `former` values are excluded, so that batches of earlier versions are found.
    """
    parts: list[object] = []
    for one in prepared:
        request = one.request
        models = {role: digest for node in request.nodes for role, digest in request.models(node).items()}
        parameters = request.config.parameters()
        config = {
            name: value
            for name, value in request.config.flat().items()
            if not parameters[name].execution_only and (value is None or value != parameters[name].former)
        }
        out = None if one.out is None else str(one.out.absolute())
        targets = [target for target in request.targets if target not in request.method.figures]
        parts.append([one.name, request.kind, request.file_digests, config, models, targets, out])
    return hashlib.sha256(f"svdaudio/batch/1\n{canonical(parts)}".encode()).hexdigest()


def _unfinished(store: Store, identity: str) -> RunRecord | None:
    for run_id in store.runs.ids():
        if not run_id.endswith(ID_ENDING):
            continue
        try:
            record = store.runs.load(run_id)
        except RunError:  # damaged: `svdaudio doctor` reports it
            continue
        if record.results.get("identity") == identity:
            # Only the newest batch of this work counts: if it is finished, the command starts a new one.
            free = record.state != "finished" and not store.runs.is_active(run_id)
            return record if free else None
    return None
