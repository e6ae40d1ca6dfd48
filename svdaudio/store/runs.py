"""Records of runs: what was asked for, what every stage did, what came out.

One JSON file a run, `runs/<id>.json`, replaced atomically. Ids sort by time. While a process works on a run it
holds a lock on it, which the kernel (or, in a bucket, time) frees when the process dies: a record that says "running"
without a holder is an interrupted run.
"""

from __future__ import annotations

import logging
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from svdaudio.errors import RunError, StoreError
from svdaudio.store.keys import Action
from svdaudio.store.locks import HeldError, building_lock, file_lock, is_held, refuse_to_wait
from svdaudio.store.sealed import seal, unseal

log = logging.getLogger(__name__)

StageStatus = Literal["pending", "cached", "computed", "failed", "skipped"]
RunState = Literal["running", "finished", "failed", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class FileUse:
    """A file that the user gave, and what was in it."""

    path: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class StageEntry:
    """What one node did in a run."""

    node: str
    stage: str
    status: StageStatus = "pending"
    reason: str = ""
    """Why it was computed, failed or skipped; "unchanged" for a hit."""
    key: str | None = None
    """The action key, once every input was known."""
    seconds: float = 0.0
    """Wall time in this run: of the computation, or of the look-up."""
    notes: tuple[str, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict[str, str])
    """Output name → digest."""
    action: Action | None = None
    """What entered the key: for `plan` and `diff`, even when the artifact is gone."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run. `results` is free for whoever reports: paths of audio, scores, anything JSON can hold."""

    id: str
    kind: str
    """"manipulate" or "baseline"."""
    created_at: str
    """UTC, ISO 8601."""
    files: Mapping[str, FileUse]
    """File name in the stage table ("original") → the file."""
    config: Mapping[str, Any]
    """The whole configuration, nested as RunConfig reads it."""
    sources: Mapping[str, str] = field(default_factory=dict[str, str])
    """Dotted name → where the value came from."""
    remarks: tuple[str, ...] = ()
    bundle: str = ""
    targets: tuple[str, ...] = ()
    state: RunState = "running"
    runner: str = "in-process"
    stages: tuple[StageEntry, ...] = ()
    """One entry a node, in the order of work."""
    results: Mapping[str, Any] = field(default_factory=dict[str, Any])
    error: str | None = None
    """The one line that says why it failed."""
    traceback: str | None = None
    seconds: float = 0.0
    """Wall time of the last attempt."""
    attempts: int = 0
    code_version: str = ""
    host: str = ""

    def stage(self, node: str) -> StageEntry | None:
        """The entry of a node, if it is part of the run."""
        return next((entry for entry in self.stages if entry.node == node), None)

    def with_stage(self, entry: StageEntry) -> RunRecord:
        """The record with the entry of one node put in place."""
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
            ValueError: it is truncated, damaged, or of an unknown format.
        """
        try:
            fields = unseal(text)
            fields["files"] = {name: FileUse(**use) for name, use in fields["files"].items()}
            fields["stages"] = tuple(_entry(stage) for stage in fields["stages"])
            for name in ("remarks", "targets"):
                fields[name] = tuple(fields[name])
            return cls(**fields)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the run record is incomplete ({error})") from error


def _entry(fields: dict[str, Any]) -> StageEntry:
    action = fields.pop("action")
    notes = tuple(fields.pop("notes"))
    return StageEntry(**fields, notes=notes, action=Action(**action) if action else None)


def new_run_id(now: datetime | None = None) -> str:
    """An id that sorts by time: UTC to the millisecond, and four random hexadecimal digits."""
    now = now or datetime.now(UTC)
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}-{secrets.token_hex(2)}"


class RunLog(ABC):
    """The runs of one store."""

    @property
    @abstractmethod
    def location(self) -> str:
        """Where the store is, as the user would name it."""

    @abstractmethod
    def write(self, run: RunRecord, *, durable: bool = True) -> RunRecord:
        """Create or replace the record of a run, atomically; returns it.

        Args:
            run: the record.
            durable: wait until it is on the disk. Progress may go without.

        Raises:
            StoreError: the store cannot be written.
        """

    @abstractmethod
    def ids(self) -> list[str]:
        """Ids of every run, newest first."""

    @abstractmethod
    def read(self, run_id: str) -> RunRecord:
        """The record of a run by its whole id.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is damaged.
        """

    @abstractmethod
    def remove(self, run_id: str) -> bool:
        """Forget a run; False if a process is at work on it, or there is no such run.

        Raises:
            StoreError: the store cannot be written.
        """

    @abstractmethod
    def is_active(self, run_id: str) -> bool:
        """Whether a process is at work on the run."""

    @abstractmethod
    def hold(self, run_id: str) -> AbstractContextManager[None]:
        """Work on a run, alone.

        Raises:
            RunError: another process is at work on it.
        """

    def __iter__(self) -> Iterator[RunRecord]:
        """Every readable run, newest first. One that is damaged is passed over with a warning."""
        for run_id in self.ids():
            try:
                yield self.read(run_id)
            except FileNotFoundError:  # forgotten a moment ago
                continue
            except ValueError as error:
                log.warning("the record of run %s in %s is passed over: %s", run_id, self.location, error)

    def load(self, name: str) -> RunRecord:
        """A run by its id, an unambiguous beginning or end of it, or "last" ("latest").

        Raises:
            RunError: there is none, or more than one.
        """
        ids = self.ids()
        if not ids:
            raise RunError(
                f"there are no runs in {self.location}",
                fix="start one with `svdaudio run`, or give another --store",
            )
        if name in ("last", "latest"):
            matches = ids[:1]
        else:
            matches = [name] if name in ids else [i for i in ids if name and (i.startswith(name) or i.endswith(name))]
        if not matches:
            raise RunError(f"there is no run '{name}'", fix="`svdaudio runs` lists them")
        if len(matches) > 1:
            raise RunError(
                f"'{name}' names {len(matches)} runs", got=f"{matches[0]}, {matches[1]} …", fix="give more of the id"
            )
        try:
            return self.read(matches[0])
        except (ValueError, FileNotFoundError) as error:
            raise RunError(
                f"the record of run {matches[0]} is damaged",
                got=error,
                fix="start a new run: what that one computed is found",
            ) from error


class FolderRunLog(RunLog):
    """The runs of a store in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def location(self) -> str:
        """The store's folder."""
        return str(self.folder.parent)

    def write(self, run: RunRecord, *, durable: bool = True) -> RunRecord:
        """Create or replace the record of a run, atomically; returns it. See `RunLog.write`."""
        partial = self.folder / f".{run.id}.{os.getpid()}.{secrets.token_hex(4)}.partial"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                with partial.open("w", encoding="utf-8") as file, building_lock(partial):
                    file.write(run.to_json())
                    file.flush()
                    if durable:
                        os.fsync(file.fileno())
                    partial.replace(self._path(run.id))
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StoreError(
                f"the record of run {run.id} cannot be written to {self.folder}",
                got=error.strerror or str(error),
                fix="make room, check its permissions, or give another --store",
            ) from error
        return run

    def ids(self) -> list[str]:
        """Ids of every run, newest first."""
        try:
            names = [path.name for path in self.folder.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise self._unreadable(error) from error
        return sorted(
            (name[:-5] for name in names if name.endswith(".json") and not name.startswith(".")), reverse=True
        )

    def read(self, run_id: str) -> RunRecord:
        """The record of a run. See `RunLog.read`."""
        try:
            text = self._path(run_id).read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._unreadable(error) from error
        return RunRecord.from_json(text)

    def remove(self, run_id: str) -> bool:
        """Forget a run that nobody is at work on. See `RunLog.remove`."""
        if not self._path(run_id).exists():
            return False
        try:
            with file_lock(self._lock_path(run_id), refuse_to_wait):
                self._path(run_id).unlink()
        except (HeldError, FileNotFoundError):
            return False
        except OSError as error:
            raise self._unwritable(error) from error
        return True

    def is_active(self, run_id: str) -> bool:
        """Whether a process is at work on the run."""
        return is_held(self._lock_path(run_id))

    @contextmanager
    def hold(self, run_id: str) -> Generator[None]:
        """Work on a run, alone. See `RunLog.hold`."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

        def refuse() -> None:
            raise RunError(f"run {run_id} is still going in another process", fix="wait for it, or stop it first")

        with ExitStack() as stack:
            try:
                stack.enter_context(file_lock(self._lock_path(run_id), refuse))
            except OSError as error:
                raise self._unwritable(error) from error
            yield

    def _unwritable(self, error: OSError) -> StoreError:
        return StoreError(
            f"the store {self.folder.parent} cannot be written",
            got=error.strerror or str(error),
            fix="make room, check its permissions, or give another --store",
        )

    def _unreadable(self, error: OSError) -> StoreError:
        return StoreError(
            f"the store {self.folder.parent} cannot be read",
            got=error.strerror or str(error),
            fix="check its permissions",
        )

    def _path(self, run_id: str) -> Path:
        return self.folder / f"{run_id}.json"

    def _lock_path(self, run_id: str) -> Path:
        return self.folder / f".{run_id}.lock"
