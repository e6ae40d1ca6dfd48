"""The store in a bucket, `s3://bucket/prefix`.

    store.json                            marks the prefix as a store
    records/ab/<key>.json                 one artifact: its record, which names
    arrays/ab/<key>/<attempt>/            its arrays, a zarr v3 group
    runs/<id>.json                        one run
    leases/<key>, leases/run-<id>         held by the process that computes the key, or works on the run
    quarantine/<key>/<n>/                 damaged artifacts
    used/<key>                            when the artifact was last used, if that was after it was saved
    pins/<key>                            keys that are never collected
    clocks/<n>                            written and removed to read the server's clock

The arrays of an artifact are written first, in a folder of their writer; then the record, which names that folder, by
a create that fails if a record exists. So an artifact appears atomically, the first writer wins, and
no writer touches the arrays of another. A writer that dies leaves arrays that no record names.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from svdaudio.errors import NewerRecordError, RunError, StoreError
from svdaudio.store.base import Footprint, Leftover, LeftoverKind, do_nothing
from svdaudio.store.fields import is_attempt, is_key, is_run_id
from svdaudio.store.leases import CLOCK_SKEW_S, LEASE_S, is_held, lease
from svdaudio.store.local import Step, ignore_step
from svdaudio.store.locks import HeldError, refuse_to_wait
from svdaudio.store.marker import (
    MARKER,
    MARKER_TEXT,
    check_key,
    check_marker,
    damaged_artifact,
    missing_artifact,
    newer_artifact,
)
from svdaudio.store.objects import (
    CLOCKS,
    N_PARALLEL,
    N_READINGS,
    Listed,
    MisreadError,
    Objects,
    Patience,
    require_obstore,
)
from svdaudio.store.records import CLOCK_TOLERANCE_S, ArtifactRecord
from svdaudio.store.runs import RunLog, RunRecord, newest_first
from svdaudio.store.sealed import NewerFormatError, is_of_newer_format, seal, unseal

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOUCHED_EVERY_S = 3600.0
FEW = 100
"""Up to this many artifacts are looked up individually instead of listing all."""

log = logging.getLogger(__name__)


class RemoteStore:
    """Artifacts and runs in a bucket.

    Args:
        location: `s3://bucket/prefix`. Credentials and endpoint come from the environment, see `Objects`.
        lease_s: how long the lock of a dead process remains valid.
        patience: time limits.
        at_step: called after each step of writing an artifact. Tests use it to stop there.
        check_now: check that the bucket exists and contains no other format of store; else only on first use.

    Raises:
        StoreError: obstore is not installed; the bucket does not exist, cannot be reached or rejects the credentials;
            or the prefix holds a store of another format.
    """

    def __init__(
        self,
        location: str,
        *,
        lease_s: float = LEASE_S,
        patience: Patience | None = None,
        at_step: Callable[[Step], None] = ignore_step,
        check_now: bool = True,
    ) -> None:
        self._arguments = (location, lease_s, patience)
        self._objects = Objects(location, patience or Patience())
        self._lease_s = lease_s
        self._at_step = at_step
        self._conditions_checked = False
        self.runs = RemoteRunLog(self._objects, lease_s=lease_s, prepare=self.prepare)
        if check_now:
            require_obstore()
        self._made = self._check() if check_now else False

    def __reduce__(self) -> tuple[Callable[..., RemoteStore], tuple[str, float, Patience | None]]:
        """Reopen the store where it is unpickled, with the credentials found there."""
        return _open_again, self._arguments

    @property
    def location(self) -> str:
        """The bucket and prefix."""
        return self._objects.location

    @property
    def n_readers(self) -> int:
        """Records are read in parallel, because each is a request."""
        return N_PARALLEL

    def prepare(self) -> None:
        """Check once that the store can be changed safely. See `Store.prepare`."""
        if not self._made:
            self._objects.create(MARKER, MARKER_TEXT.encode())
            self._made = True
        if not self._conditions_checked:
            self._refuse_unusable(self._objects.unusable_conditions(MARKER, MARKER_TEXT.encode()))
            self._conditions_checked = True

    def examine(self) -> None:
        """Check that the server supports the conditional writes that locks need. See `Store.examine`."""
        path = f"{CLOCKS}/{secrets.token_hex(8)}"
        self._objects.put(path, b"")
        try:
            self._refuse_unusable(self._objects.unusable_conditions(path, b""))
        finally:
            self._objects.delete([path])

    def _refuse_unusable(self, faults: list[str]) -> None:
        for fault in faults:
            raise StoreError(
                f"the server of {self.location} {fault}, so it cannot keep locks",
                expected="a server with conditional writes",
                fix="update the server, or use another",
            )

    def find(self, key: str) -> ArtifactRecord | None:
        """The record of an artifact, or None. See `Store.find`."""
        found = self._find(key)
        return found.record if found else None

    def load(self, key: str, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
        """Arrays of an artifact, read in parallel and checked. See `Store.load`."""
        from svdaudio.store.arrays import array_paths, arrays_from_bytes
        from svdaudio.store.keys import digest_array

        found = self._find(key)
        if found is None:
            raise missing_artifact(key, self.location)
        outputs = found.record.outputs
        wanted = list(outputs if names is None else names)
        paths = [f"{found.folder}/{path}" for path in array_paths({name: len(outputs[name].shape) for name in wanted})]
        seen: dict[str, bytes] | None = None
        why: Exception | None = None
        for _ in range(N_READINGS):  # bytes may be damaged in transit
            read = self._objects.get_all(paths)
            if read == seen:
                break
            seen = read
            contents = {path.removeprefix(f"{found.folder}/"): content for path, content in read.items()}
            try:
                arrays = arrays_from_bytes(contents, wanted)
                for name, array in arrays.items():
                    if digest_array(array) != outputs[name].digest:
                        raise ValueError(f"the array '{name}' does not match the record")
            except MemoryError as error:
                raise StoreError(f"artifact {key[:12]} does not fit into memory", fix="free some memory") from error
            except Exception as error:  # noqa: BLE001 - zarr and its codecs raise anything
                why = error
            else:
                return arrays
        reason = str(why) if type(why) is ValueError else f"{type(why).__name__}: {why}"
        raise self._corrupt(key, reason, found.text) from why

    def is_newer(self, key: str) -> bool:
        """Whether a newer version of svdaudio wrote the record. See `Store.is_newer`."""
        stored = self._objects.get(_record_path(key))
        return stored is not None and is_of_newer_format(stored.content)

    def save(self, record: ArtifactRecord, arrays: Mapping[str, NDArray[Any]]) -> ArtifactRecord:
        """Save an artifact atomically. See `Store.save`."""
        from svdaudio.store.arrays import arrays_to_bytes

        key, attempt = record.key, secrets.token_hex(8)
        folder = _arrays_folder(key, attempt)
        contents = {f"{folder}/{path}": content for path, content in arrays_to_bytes(arrays).items()}
        self.prepare()
        self._at_step("begin")
        try:
            self._objects.put_all(contents)
        except BaseException:
            with suppress(StoreError):
                self._objects.delete(contents)
            raise
        self._at_step("arrays written")
        # From here on the record may exist even if the store did not confirm it, so the arrays stay.
        text = seal({"arrays": attempt, "record": json.loads(record.to_json())}).encode()
        while self._objects.create(_record_path(key), text) is None:
            try:
                earlier = self.find(key)
            except NewerRecordError:
                self._objects.delete(contents)
                raise
            if earlier is not None:
                self._objects.delete(contents)
                return earlier
        self._at_step("record written")
        self._at_step("done")
        return record

    @contextmanager
    def _lock(self, key: str, waiting: Callable[[], None]) -> Generator[None]:
        self.prepare()
        with self._lease(key, waiting):
            yield
        if self._objects.get(_record_path(key)) is not None:  # an existing artifact is not computed again
            self._objects.delete([f"leases/{key}"])

    def lock(self, key: str, waiting: Callable[[], None] = do_nothing) -> AbstractContextManager[None]:
        """Hold `key` by a lease. See `Store.lock`."""
        return self._lock(key, waiting)

    def quarantine(self, key: str, why: str, seen: bytes | None = None) -> str | None:
        """Move a damaged artifact to quarantine. See `Store.quarantine`.

        Args:
            key: the artifact's key.
            why: what is wrong with it.
            seen: text of the damaged record; if it has been replaced meanwhile, the new record stays.
        """
        source = _record_path(key)
        target = f"quarantine/{key}/{secrets.token_hex(4)}"
        try:
            stored = self._objects.get(source)
            if stored is None or (seen is not None and stored.content != seen):
                return None
            attempt = _attempt(stored.content)
            folder = _arrays_folder(key, attempt) if attempt else None
            arrays = [listed.path for listed in self._objects.list(folder)] if folder else []
            self._objects.put(f"{target}/record.json", stored.content)
            self._objects.put(f"{target}/why.txt", f"{why}\n".encode())
            for path in arrays:
                self._objects.copy(path, f"{target}/arrays.zarr/{path.removeprefix(f'{folder}/')}")
            self._objects.delete([source, f"used/{key}"])
            self._objects.delete(arrays)
        except StoreError as error:
            log.warning("artifact %s is damaged (%s) and cannot be moved to quarantine: %s", key[:12], why, error)
            return None
        where = f"{self.location}/{target}"
        log.warning("artifact %s is damaged (%s); moved to %s", key[:12], why, where)
        return where

    def was_quarantined(self, key: str) -> bool:
        """Whether an artifact of this key was ever quarantined."""
        return next(self._objects.list(f"quarantine/{key}"), None) is not None

    def keys(self) -> Iterator[str]:
        """Keys of every artifact, in no order."""
        for listed in self._objects.list("records"):
            if (key := _key(listed)) is not None:
                yield key

    def touch(self, key: str) -> None:
        """Record that an artifact is used now, to the hour. See `Store.touch`."""
        try:
            stored = self._objects.get(_record_path(key))
            if stored is None:
                return
            used = self._objects.get(f"used/{key}")
            if time.time() - (used or stored).modified_at.timestamp() > TOUCHED_EVERY_S:
                self._objects.put(f"used/{key}", b"")
        except StoreError as error:
            log.debug("artifact %s cannot be touched: %s", key[:12], error)

    def last_uses(self) -> dict[str, float]:
        """When every artifact was last used, from listings alone. See `Store.last_uses`."""
        return {key: used_at_s for key, (_, used_at_s) in self._records_listed().items()}

    def footprints(self, keys: Collection[str] | None = None) -> Iterator[Footprint]:
        """Size and last use of every artifact, from listings alone. See `Store.footprints`."""
        if keys is not None and len(keys) <= FEW:
            with ThreadPoolExecutor(N_PARALLEL, thread_name_prefix="svdaudio-sizes") as pool:
                yield from filter(None, pool.map(self._footprint, keys))
            return
        sizes: Counter[str] = Counter()
        for listed in self._objects.list("arrays"):
            sizes["".join(listed.path.split("/")[2:3])] += listed.n_bytes
        for key, (n_bytes, used_at_s) in self._records_listed().items():
            if keys is None or key in keys:
                yield Footprint(key=key, n_bytes=n_bytes + sizes[key], used_at_s=used_at_s)

    def _footprint(self, key: str) -> Footprint | None:
        record, used = self._objects.get(_record_path(key)), self._objects.get(f"used/{key}")
        if record is None:
            return None
        n_bytes = sum(listed.n_bytes for listed in self._objects.list(f"arrays/{key[:2]}/{key}"))
        used_at_s = self._last_use_s(record.modified_at, used.modified_at if used else None)
        return Footprint(key=key, n_bytes=len(record.content) + n_bytes, used_at_s=used_at_s)

    def _records_listed(self) -> dict[str, tuple[int, float]]:
        """Key → size of the record, and when the artifact was last used."""
        used = {listed.path.rpartition("/")[2]: listed.modified_at for listed in self._objects.list("used")}
        return {
            key: (listed.n_bytes, self._last_use_s(listed.modified_at, used.get(key)))
            for listed in self._objects.list("records")
            if (key := _key(listed)) is not None
        }

    def _last_use_s(self, written_at: datetime, used_at: datetime | None) -> float:
        """The later of the two times; the time of use if only the other one is in the future."""
        times = [time.timestamp() for time in (written_at, used_at) if time is not None]
        if max(times) > time.time() + CLOCK_TOLERANCE_S:
            times = [time_s for time_s in times if time_s <= self._objects.now_s() + CLOCK_TOLERANCE_S] or times
        return max(times)

    def remove(self, key: str, *, unless_used_after_s: float) -> bool:
        """Remove an artifact atomically: its record first. See `Store.remove`."""
        path = _record_path(key)
        try:
            with self._lease(key, refuse_to_wait):
                stored, used = self._objects.get(path), self._objects.get(f"used/{key}")
                if stored is None:
                    return False
                used_at_s = self._last_use_s(stored.modified_at, used.modified_at if used else None)
                if unless_used_after_s < used_at_s <= self._objects.now_s() + CLOCK_TOLERANCE_S:
                    return False
                if is_of_newer_format(stored.content) or self._is_pinned(key):
                    return False
                self._objects.delete([path])
                if self._is_pinned(key):  # pinned meanwhile
                    self._objects.create(path, stored.content)
                    return False
                self._objects.delete(listed.path for listed in self._objects.list(f"arrays/{key[:2]}/{key}"))
                self._objects.delete([f"used/{key}"])
        except HeldError:
            return False
        self._objects.delete([f"leases/{key}"])
        return True

    def pin(self, key: str) -> None:
        """Protect an artifact from garbage collection. See `Store.pin`."""
        path = _pin_path(key)
        self.prepare()
        self._objects.put(path, b"")

    def _is_pinned(self, key: str) -> bool:
        return self._objects.get(_pin_path(key)) is not None

    def unpin(self, key: str) -> bool:
        """Undo `pin`. See `Store.unpin`."""
        if not self._is_pinned(key):
            return False
        self._objects.delete([_pin_path(key)])
        return True

    def pins(self) -> frozenset[str]:
        """Keys that are pinned. See `Store.pins`."""
        names = (listed.path.rpartition("/")[2] for listed in self._objects.list("pins"))
        return frozenset(filter(is_key, names))

    def leftovers(self) -> Iterator[Leftover]:
        """Leftovers of dead processes. See `Store.leftovers`."""
        leases = {listed.path: listed for listed in self._objects.list("leases")}
        with ThreadPoolExecutor(N_PARALLEL, thread_name_prefix="svdaudio-leases") as pool:
            holds = pool.map(partial(is_held, self._objects), leases)
            held = {path.rpartition("/")[2] for path, holds_it in zip(leases, holds, strict=True) if holds_it}
        for path, listed in leases.items():
            if path.rpartition("/")[2] not in held:
                yield _leftover(path, "lock", [listed])
        for listed in self._objects.list(CLOCKS):
            yield _leftover(listed.path, "unfinished", [listed])
        for name, members in _grouped(self._objects.list("quarantine"), 3).items():
            yield _leftover(name, "quarantined", members)
        records = set(self.keys())
        attempts = _grouped(self._objects.list("arrays"), 4)
        attempts = {name: members for name, members in attempts.items() if _is_attempt(name)}
        n_attempts = Counter(name.split("/")[2] for name in attempts)
        for name, members in attempts.items():
            key, attempt = name.split("/")[2:]
            # With one record and one set of arrays no further check is needed: the record names them.
            if key in records and (n_attempts[key] == 1 or self._names(key, attempt)):
                continue
            if key not in held:
                yield _leftover(name, "unfinished", members)

    def clear(self, leftover: Leftover) -> bool:
        """Remove a leftover. See `Store.clear`."""
        name = leftover.name
        if leftover.kind == "lock":
            if self._objects.get(name) is None or is_held(self._objects, name):
                return False
            self._objects.delete([name])
            return True
        if leftover.kind == "quarantined":
            return self._delete_all(name)
        if not _is_attempt(name):
            self._objects.delete([name])
            return True
        key, attempt = name.split("/")[2:]
        try:
            with self._lease(key, refuse_to_wait):
                cleared = not self._names(key, attempt) and self._delete_all(name)
        except HeldError:
            return False
        self._objects.delete([f"leases/{key}"])
        return cleared

    def _lease(self, key: str, waiting: Callable[[], None]) -> AbstractContextManager[None]:
        check_key(key)
        return lease(self._objects, f"leases/{key}", waiting, duration_s=self._lease_s)

    def _names(self, key: str, attempt: str) -> bool:
        """Whether the record of a key names these arrays, or has a newer format and may name them."""
        stored = self._objects.get(_record_path(key))
        if stored is None:
            return False
        return is_of_newer_format(stored.content) or _attempt(stored.content) == attempt

    def _delete_all(self, folder: str) -> bool:
        paths = [listed.path for listed in self._objects.list(folder)]
        self._objects.delete(paths)
        return bool(paths)

    def _find(self, key: str) -> _Found | None:
        def parse(text: bytes) -> _Found:
            attempt, record = _read_record(text)
            if record.key != key:
                raise ValueError("the record belongs to another key")
            return _Found(record=record, folder=_arrays_folder(key, attempt), text=text)

        try:
            found = self._objects.read(_record_path(key), parse)
        except MisreadError as error:
            if isinstance(error.why, NewerFormatError):
                raise newer_artifact(key, self.location, error.why) from error
            self.quarantine(key, str(error), error.stored.content)
            return None
        return None if found is None else found[1]

    def _check(self) -> bool:
        """Whether the store already exists."""

        def check(text: bytes) -> None:
            check_marker(text, self.location, f"{self.location}/{MARKER}", kind="object")

        stored = self._objects.get(MARKER)
        if stored is None:
            return False
        try:
            check(stored.content)
        except StoreError:  # it may have been damaged in transit
            again = self._objects.get(MARKER)
            check(again.content if again else stored.content)
        return True

    def _corrupt(self, key: str, why: str, seen: bytes) -> StoreError:
        where = self.quarantine(key, why, seen)
        if where is None and self._find(key) is None:  # removed while it was being read
            return missing_artifact(key, self.location)
        return damaged_artifact(key, why, where)


class RemoteRunLog(RunLog):
    """The runs of a store in a bucket."""

    def __init__(self, objects: Objects, *, lease_s: float, prepare: Callable[[], None]) -> None:
        super().__init__()
        self._objects = objects
        self._lease_s = lease_s
        self._prepare = prepare

    @property
    def location(self) -> str:
        """The bucket and prefix."""
        return self._objects.location

    def write(self, run: RunRecord, *, durable: bool = True) -> RunRecord:
        """Create or replace the record of a run; returns it. See `RunLog.write`."""
        del durable  # an object store is always durable
        self._check_not_newer(run.id)
        self._prepare()
        self._objects.put(_run_path(run.id), run.to_json().encode())
        return run

    def ids(self) -> list[str]:
        """Ids of every run, newest first. See `RunLog.ids`."""
        names = [listed.path.removeprefix("runs/") for listed in self._objects.list("runs")]
        return newest_first(filter(is_run_id, (name.removesuffix(".json") for name in names if name.endswith(".json"))))

    def __iter__(self) -> Iterator[RunRecord]:
        """Every readable run, newest first, read in groups. A damaged one is skipped with a warning."""
        ids = self.ids()
        for begin in range(0, len(ids), N_PARALLEL):
            some = ids[begin : begin + N_PARALLEL]
            read = self._objects.get_all(map(_run_path, some))
            for run_id in some:
                try:
                    yield self._parse(run_id, read[_run_path(run_id)])
                except KeyError:  # removed meanwhile
                    continue
                except ValueError:
                    with suppress(FileNotFoundError):
                        yield from self._read_again(run_id)

    def _read_again(self, run_id: str) -> Iterator[RunRecord]:
        """Read a run whose record could not be parsed again, in case it was damaged in transit; otherwise warn."""
        try:
            run = self.read(run_id)
        except ValueError as error:
            self._warn_skipped(run_id, error)
        else:
            yield run

    def read(self, run_id: str) -> RunRecord:
        """The record of a run. See `RunLog.read`."""
        if not is_run_id(run_id):
            raise FileNotFoundError(run_id)
        try:
            found = self._objects.read(_run_path(run_id), lambda text: self._parse(run_id, text))
        except MisreadError as error:
            raise error.why from error
        if found is None:
            raise FileNotFoundError(run_id)
        return found[1]

    def remove(self, run_id: str) -> bool:
        """Remove the record of a run, unless the run is active. See `RunLog.remove`."""
        if not is_run_id(run_id) or self._objects.get(_run_path(run_id)) is None:
            return False
        try:
            with lease(self._objects, _run_lease(run_id), refuse_to_wait, duration_s=self._lease_s):
                self._objects.delete([_run_path(run_id)])
        except HeldError:
            return False
        self._objects.delete([_run_lease(run_id)])
        return True

    def is_active(self, run_id: str) -> bool:
        """Whether a process is working on the run; a dead one counts until its lease expires."""
        return is_run_id(run_id) and is_held(self._objects, _run_lease(run_id))

    @contextmanager
    def hold(self, run_id: str) -> Generator[None]:
        """Hold a run exclusively. See `RunLog.hold`."""

        def refuse() -> None:
            raise RunError(
                f"run {run_id} is still active in another process",
                fix="wait for it, or stop it first; the lease of a dead process expires within "
                f"{self._lease_s + CLOCK_SKEW_S:g} s",
            )

        self._prepare()
        with lease(self._objects, _run_lease(run_id), refuse, duration_s=self._lease_s):
            yield
        self._objects.delete([_run_lease(run_id)])


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A record, the folder of its arrays, and the text it was read from."""

    record: ArtifactRecord
    folder: str
    text: bytes


def _open_again(location: str, lease_s: float, patience: Patience | None) -> RemoteStore:
    return RemoteStore(location, lease_s=lease_s, patience=patience, check_now=False)


def _key(record: Listed) -> str | None:
    """The key of a listed record; None for any other object."""
    key = record.path.rpartition("/")[2].removesuffix(".json")
    return key if is_key(key) and record.path == _record_path(key) else None


def _is_attempt(name: str) -> bool:
    """Whether a folder holds the arrays of one writer."""
    parts = name.split("/")
    return len(parts) == 4 and is_key(parts[2]) and is_attempt(parts[3]) and name == _arrays_folder(*parts[2:])


def _grouped(listing: Iterable[Listed], depth: int) -> dict[str, list[Listed]]:
    """Objects grouped by the first `depth` parts of their paths."""
    groups: dict[str, list[Listed]] = {}
    for listed in listing:
        groups.setdefault("/".join(listed.path.split("/")[:depth]), []).append(listed)
    return groups


def _leftover(name: str, kind: LeftoverKind, members: Iterable[Listed]) -> Leftover:
    sizes, times = zip(*((listed.n_bytes, listed.modified_at.timestamp()) for listed in members), strict=True)
    return Leftover(name=name, kind=kind, n_bytes=sum(sizes), changed_at_s=max(times))


def _record_path(key: str) -> str:
    check_key(key)
    return f"records/{key[:2]}/{key}.json"


def _arrays_folder(key: str, attempt: str) -> str:
    return f"arrays/{key[:2]}/{key}/{attempt}"


def _pin_path(key: str) -> str:
    check_key(key)
    return f"pins/{key}"


def _run_path(run_id: str) -> str:
    return f"runs/{_checked_run_id(run_id)}.json"


def _run_lease(run_id: str) -> str:
    return f"leases/run-{_checked_run_id(run_id)}"


def _checked_run_id(run_id: str) -> str:
    if not is_run_id(run_id):
        raise StoreError(f"{run_id!r} is not a valid run id")
    return run_id


def _read_record(text: bytes) -> tuple[str, ArtifactRecord]:
    """The writer whose arrays a record names, and the record.

    Raises:
        ValueError: it is damaged.
    """
    fields = unseal(text)
    attempt = fields.get("arrays")
    if not isinstance(attempt, str) or not is_attempt(attempt):
        raise ValueError("the record does not name the folder of its arrays")
    return attempt, ArtifactRecord.from_json(json.dumps(fields.get("record")))


def _attempt(text: bytes) -> str | None:
    """The writer whose arrays a record names, if it can be read that far."""
    try:
        return _read_record(text)[0]
    except ValueError:
        return None
