"""Run records: the request, the outcome of every stage, and the results.

One JSON file per run, `runs/<id>.json`, replaced atomically. Ids sort by time. While a process works on a run it holds
a lock on it, which the kernel frees when the process dies (in a bucket the lease expires): a record with the status
"running" but without a holder is an interrupted run.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args

from svdaudio.errors import NewerRecordError, RunError, StoreError
from svdaudio.store import fields as of
from svdaudio.store.folders import entries, remedy, unreadable, unwritable
from svdaudio.store.keys import Action
from svdaudio.store.locks import HeldError, building_lock, file_lock, is_held, refuse_to_wait
from svdaudio.store.records import CLOCK_TOLERANCE_S, read_action
from svdaudio.store.sealed import NewerFormatError, seal, unseal

T = TypeVar("T")

_TIME = re.compile(r"\d{8}-\d{6}-")

log = logging.getLogger(__name__)

StageStatus = Literal["pending", "cached", "computed", "failed", "skipped"]
RunState = Literal["running", "finished", "failed", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class FileUse:
    """An input file of the user, and its content."""

    path: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class StageEntry:
    """The result of one node in a run."""

    node: str
    stage: str
    status: StageStatus = "pending"
    reason: str = ""
    """Why it was computed, failed or skipped; "unchanged" for a hit."""
    key: str | None = None
    """The action key, once all inputs are known."""
    seconds: float = 0.0
    """Wall time in this run: of the computation, or of the lookup."""
    notes: tuple[str, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict[str, str])
    """Output name → digest."""
    action: Action | None = None
    """The inputs of the key, which `plan` and `compare` use even when the artifact is gone."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run. `results` is free-form: paths of audio, scores, anything JSON can hold."""

    id: str
    kind: str
    """Name of the method, such as "manipulate"."""
    created_at: str
    """UTC, ISO 8601."""
    files: Mapping[str, FileUse]
    """File name in the stage table ("original") → the file."""
    config: Mapping[str, Any]
    """The whole configuration, nested as RunConfig reads it."""
    sources: Mapping[str, str] = field(default_factory=dict[str, str])
    """Dotted name → source of the value."""
    remarks: tuple[str, ...] = ()
    bundle: str = ""
    targets: tuple[str, ...] = ()
    state: RunState = "running"
    runner: str = "in-process"
    stages: tuple[StageEntry, ...] = ()
    """One entry per node, in order of execution."""
    results: Mapping[str, Any] = field(default_factory=dict[str, Any])
    error: str | None = None
    """Why it failed, in one line."""
    traceback: str | None = None
    seconds: float = 0.0
    """Wall time of the last attempt."""
    attempts: int = 0
    code_version: str = ""
    host: str = ""

    def stage(self, node: str) -> StageEntry | None:
        """The entry of a node, or None if it is not part of the run."""
        return next((entry for entry in self.stages if entry.node == node), None)

    def source(self, parameter: str) -> str:
        """Source of a parameter's value, by dotted name; an entry of a table has the source of the table."""
        while parameter not in self.sources and "." in parameter:
            parameter = parameter.rpartition(".")[0]
        return self.sources.get(parameter, "default")

    def with_stage(self, entry: StageEntry) -> RunRecord:
        """A copy of the record with the entry of one node replaced or added."""
        if self.stage(entry.node) is None:
            return replace(self, stages=(*self.stages, entry))
        return replace(self, stages=tuple(entry if old.node == entry.node else old for old in self.stages))

    def to_json(self) -> str:
        """The record as text."""
        return seal(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a record.

        Raises:
            NewerFormatError: a newer version of svdaudio wrote it.
            ValueError: it is truncated, damaged, of an unknown format, or holds a field of another type.
        """
        try:
            return cls(**of.only(unseal(text), _RUN_FIELDS))
        except (KeyError, TypeError) as error:
            raise ValueError(f"the run record is incomplete or malformed ({error})") from error


def _file_use(value: object) -> FileUse:
    fields = of.mapping(value)
    digest = fields["digest"]  # None for anything that is not a file
    return FileUse(path=of.text(fields["path"]), digest=digest if digest == "" else of.digest(digest))


def _results(value: object) -> dict[str, Any]:
    """Any value, except that the runs of a batch must be valid ids."""
    results = of.mapping(value)
    for member in of.items(results.get("members", [])):
        of.run_id(of.mapping(member)["run"])
    return results


def _entry(value: object) -> StageEntry:
    return StageEntry(**of.only(of.mapping(value), _ENTRY_FIELDS))


def _unless_none(read: Callable[[object], T]) -> Callable[[object], T | None]:
    return lambda value: None if value is None else read(value)


_ENTRY_FIELDS: Mapping[str, Callable[[object], object]] = {
    "node": of.name,
    "stage": of.name,
    "status": lambda value: of.one_of(value, get_args(StageStatus)),
    "reason": of.text,
    "key": _unless_none(of.key),
    "seconds": of.number,
    "notes": of.texts,
    "outputs": lambda value: of.named(value, of.digest),
    "action": _unless_none(lambda value: read_action(of.mapping(value))),
}

_RUN_FIELDS: Mapping[str, Callable[[object], object]] = {
    "id": of.run_id,
    "kind": of.name,
    "created_at": of.time,
    "files": lambda value: of.named(value, _file_use),
    "config": of.mapping,
    "sources": lambda value: {name: of.text(source) for name, source in of.mapping(value).items()},
    "remarks": of.texts,
    "bundle": of.text,
    "targets": of.texts,
    "state": lambda value: of.one_of(value, get_args(RunState)),
    "runner": of.text,
    "stages": lambda value: tuple(_entry(stage) for stage in of.items(value)),
    "results": _results,
    "error": _unless_none(of.text),
    "traceback": _unless_none(of.text),
    "seconds": of.number,
    "attempts": of.integer,
    "code_version": of.text,
    "host": of.text,
}


def new_run_id(now: datetime | None = None) -> str:
    """An id that sorts by time: UTC to the millisecond, and four random hexadecimal digits."""
    now = now or datetime.now(UTC)
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}-{secrets.token_hex(2)}"


def newest_first(ids: Iterable[str], *, now: datetime | None = None) -> list[str]:
    """Run ids sorted by their times, newest first.

    An id with a time in the future was created while the clock was wrong. The age of such a run is unknown, so it
    comes last; otherwise it would be the latest run until that date.
    """
    ahead = (now or datetime.now(UTC)) + timedelta(seconds=CLOCK_TOLERANCE_S)
    soonest = f"{ahead:%Y%m%d-%H%M%S}"

    def order(run_id: str) -> tuple[bool, str]:
        return _TIME.match(run_id) is None or run_id[: len(soonest)] <= soonest, run_id

    return sorted(ids, key=order, reverse=True)


def begun_at_s(run: RunRecord) -> float | None:
    """Unix time at which a run started; None if its record does not have it."""
    try:
        return datetime.fromisoformat(run.created_at).timestamp()
    except (ValueError, OverflowError):
        return None


class RunLog(ABC):
    """The runs of one store."""

    def __init__(self) -> None:
        self._written: set[str] = set()
        """Ids whose records are known not to have a newer format."""

    @property
    @abstractmethod
    def location(self) -> str:
        """Location of the store, as the user would name it."""

    @abstractmethod
    def write(self, run: RunRecord, *, durable: bool = True) -> RunRecord:
        """Create or replace the record of a run, atomically; returns it.

        Args:
            run: the record.
            durable: wait until it is on the disk. Not needed for progress.

        Raises:
            NewerRecordError: a newer version of svdaudio wrote the existing record of that run.
            StoreError: the store cannot be written.
        """

    @abstractmethod
    def ids(self) -> list[str]:
        """Ids of every run, newest first; those dated in the future come last (`newest_first`)."""

    @abstractmethod
    def read(self, run_id: str) -> RunRecord:
        """The record of a run by its full id.

        Raises:
            FileNotFoundError: the run does not exist.
            NewerFormatError: a newer version of svdaudio wrote it.
            ValueError: it is damaged.
        """

    @abstractmethod
    def remove(self, run_id: str) -> bool:
        """Remove the record of a run; False if the run is active or does not exist.

        Raises:
            StoreError: the store cannot be written.
        """

    @abstractmethod
    def is_active(self, run_id: str) -> bool:
        """Whether a process is working on the run.

        Raises:
            StoreError: the store cannot be read.
        """

    @abstractmethod
    def hold(self, run_id: str) -> AbstractContextManager[None]:
        """Hold a run exclusively while working on it.

        Raises:
            RunError: another process holds it.
        """

    def __iter__(self) -> Iterator[RunRecord]:
        """Every readable run, newest first. One that is damaged or too new is skipped with a warning."""
        for run_id in self.ids():
            try:
                yield self.read(run_id)
            except FileNotFoundError:  # removed meanwhile
                continue
            except ValueError as error:
                self._warn_skipped(run_id, error)

    def _warn_skipped(self, run_id: str, error: ValueError) -> None:
        if isinstance(error, NewerFormatError):
            log.warning(
                "the record of run %s in %s is skipped, because a newer version of svdaudio wrote it (%s)",
                run_id,
                self.location,
                error,
            )
        else:
            log.warning("the record of run %s in %s is skipped: %s", run_id, self.location, error)

    def _parse(self, run_id: str, text: bytes) -> RunRecord:
        """Parse the record found under an id.

        Raises:
            NewerFormatError: a newer version of svdaudio wrote it.
            ValueError: it is damaged, or the record of another run.
        """
        run = RunRecord.from_json(text)
        if run.id != run_id:
            raise ValueError("the record belongs to another run")
        return run

    def _check_not_newer(self, run_id: str) -> None:
        """Reject overwriting a record of a newer format; checked once per run.

        Raises:
            NewerRecordError: the existing record has a newer format.
        """
        if run_id in self._written:
            return
        try:
            self.read(run_id)
        except NewerFormatError as error:
            raise newer_run(run_id, self.location, error) from error
        except (FileNotFoundError, ValueError, StoreError):  # writing will report any other problem
            pass
        self._written.add(run_id)

    def load(self, name: str) -> RunRecord:
        """A run by its id, an unambiguous beginning or end of it, or "last" ("latest").

        Raises:
            RunError: no run matches, or more than one.
        """
        ids = self.ids()
        if not ids:
            raise RunError(
                f"{self.location} contains no runs",
                fix="start one with `svdaudio run`, or choose another --store",
            )
        if name in ("last", "latest"):
            matches = ids[:1]
        else:
            matches = [name] if name in ids else [i for i in ids if name and (i.startswith(name) or i.endswith(name))]
        if not matches:
            raise RunError(f"run '{name}' does not exist", fix="`svdaudio runs` lists them")
        if len(matches) > 1:
            raise RunError(
                f"'{name}' matches {len(matches)} runs", got=f"{matches[0]}, {matches[1]} …", fix="type more of the id"
            )
        try:
            return self.read(matches[0])
        except NewerFormatError as error:
            raise RunError(
                f"the record of run {matches[0]} was written by a newer version of svdaudio",
                got=error,
                fix="update svdaudio",
            ) from error
        except (ValueError, FileNotFoundError) as error:
            raise RunError(
                f"the record of run {matches[0]} is damaged",
                got=error,
                fix="start a new run: it reuses what that one computed",
            ) from error


def newer_run(run_id: str, store: str, error: NewerFormatError) -> NewerRecordError:
    """The error for a run whose record only newer versions can read."""
    return NewerRecordError(
        f"the record of run {run_id} in {store} was written by a newer version of svdaudio",
        got=error,
        fix="update svdaudio, or choose another --store",
    )


class FolderRunLog(RunLog):
    """The run records of a store in a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    @property
    def location(self) -> str:
        """The store's folder."""
        return str(self.folder.parent)

    def write(self, run: RunRecord, *, durable: bool = True) -> RunRecord:
        """Create or replace the record of a run, atomically; returns it. See `RunLog.write`."""
        self._check_not_newer(run.id)
        partial = self.folder / f".{run.id}.{os.getpid()}.{secrets.token_hex(4)}.partial"
        try:
            target = self._path(run.id)
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                with partial.open("w", encoding="utf-8") as file, building_lock(partial):
                    file.write(run.to_json())
                    file.flush()
                    if durable:
                        os.fsync(file.fileno())
                    partial.replace(target)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StoreError(
                f"the record of run {run.id} cannot be written to {self.folder}",
                got=error.strerror or str(error),
                fix=remedy(error),
            ) from error
        return run

    def ids(self) -> list[str]:
        """Ids of every run, newest first. See `RunLog.ids`."""
        try:
            names = [entry.name for entry in entries(self.folder)]
        except OSError as error:
            raise unreadable(self.folder.parent, error) from error
        found = (name.removesuffix(".json") for name in names if name.endswith(".json"))
        return newest_first(filter(of.is_run_id, found))

    def read(self, run_id: str) -> RunRecord:
        """The record of a run. See `RunLog.read`."""
        try:
            text = self._path(run_id).read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise unreadable(self.folder.parent, error) from error
        return self._parse(run_id, text)

    def remove(self, run_id: str) -> bool:
        """Remove the record of a run, unless the run is active. See `RunLog.remove`."""
        try:
            self._path(run_id).lstat()
            with file_lock(self._lock_path(run_id), refuse_to_wait):
                self._path(run_id).unlink()
        except (HeldError, FileNotFoundError):
            return False
        except OSError as error:
            raise unwritable(self.folder.parent, error) from error
        return True

    def is_active(self, run_id: str) -> bool:
        """Whether a process is working on the run. See `RunLog.is_active`."""
        try:
            return of.is_run_id(run_id) and is_held(self._lock_path(run_id))
        except OSError as error:
            raise unreadable(self.folder.parent, error) from error

    @contextmanager
    def hold(self, run_id: str) -> Generator[None]:
        """Hold a run exclusively while working on it. See `RunLog.hold`."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self.folder.parent, error) from error

        def refuse() -> None:
            raise RunError(f"run {run_id} is still active in another process", fix="wait for it, or stop it first")

        with ExitStack() as stack:
            try:
                stack.enter_context(file_lock(self._lock_path(run_id), refuse))
            except OSError as error:
                raise unwritable(self.folder.parent, error) from error
            yield

    def _path(self, run_id: str) -> Path:
        """The path of a run's record, whether or not it exists.

        Raises:
            FileNotFoundError: the id is not valid. A path made of it might leave the store.
        """
        if not of.is_run_id(run_id):
            raise FileNotFoundError(errno.ENOENT, "not a valid run id", str(run_id))
        return self.folder / f"{run_id}.json"

    def _lock_path(self, run_id: str) -> Path:
        return self._path(run_id).with_name(f".{run_id}.lock")
