"""The store in a bucket, `s3://bucket/prefix`.

    store.json                            what this prefix is
    records/ab/<key>.json                 one artifact: its record, which names
    arrays/ab/<key>/<attempt>/            its arrays, a zarr v3 group
    runs/<id>.json                        one run
    leases/<key>, leases/run-<id>         held by whoever computes the key, or works on the run
    quarantine/<key>/<n>/                 damaged artifacts
    used/<key>                            when the artifact was last of use, if that was after it was saved
    pins/<key>                            keys that are never collected

The arrays of an artifact are written first, each writer's in a folder of their own; then the record, which names that
folder, by a create that fails if there is one already. So an artifact is there whole or not at all, the first writer
wins, and no writer ever touches the arrays of another. A writer that dies leaves arrays that no record names.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from svdaudio.errors import RunError, StoreError
from svdaudio.store.base import Footprint, Leftover, LeftoverKind, do_nothing
from svdaudio.store.leases import LEASE_S, is_held, lease, stands
from svdaudio.store.local import Step, at_no_step
from svdaudio.store.locks import HeldError, refuse_to_wait
from svdaudio.store.marker import MARKER, MARKER_TEXT, check_marker, damaged_artifact, missing_artifact
from svdaudio.store.objects import N_PARALLEL, Listed, Objects, Patience, require_obstore
from svdaudio.store.records import ArtifactRecord
from svdaudio.store.runs import RunLog, RunRecord
from svdaudio.store.sealed import seal, unseal

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOUCHED_EVERY_S = 3600.0

log = logging.getLogger(__name__)


class RemoteStore:
    """Artifacts and runs in a bucket.

    Args:
        location: `s3://bucket/prefix`. Credentials and endpoint come from the environment, see `Objects`.
        lease_s: how long the lock of a process that died stands.
        patience: time limits.
        at_step: called after each step of writing an artifact. Tests use it to stop there.
        look: see now whether there is such a bucket, and what is in it.

    Raises:
        StoreError: obstore is not installed; the bucket is not there, cannot be reached or refuses the credentials; or
            the prefix holds a store of another format.
    """

    def __init__(
        self,
        location: str,
        *,
        lease_s: float = LEASE_S,
        patience: Patience | None = None,
        at_step: Callable[[Step], None] = at_no_step,
        look: bool = True,
    ) -> None:
        self._arguments = (location, lease_s, patience)
        self._objects = Objects(location, patience or Patience())
        self._lease_s = lease_s
        self._at_step = at_step
        self.runs = RemoteRunLog(self._objects, lease_s=lease_s)
        if look:
            require_obstore()
        self._made = self._check() if look else False

    def __reduce__(self) -> tuple[Callable[..., RemoteStore], tuple[str, float, Patience | None]]:
        """Opened again where it is unpickled, with the credentials that are there."""
        return _open_again, self._arguments

    @property
    def location(self) -> str:
        """The bucket and prefix."""
        return self._objects.location

    def find(self, key: str) -> ArtifactRecord | None:
        """The record of an artifact, or None. A damaged record is put into quarantine and counts as none."""
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
        paths = array_paths({name: len(outputs[name].shape) for name in wanted})
        read = self._objects.get_all(f"{found.folder}/{path}" for path in paths)
        contents = {path.removeprefix(f"{found.folder}/"): content for path, content in read.items()}
        try:
            arrays = arrays_from_bytes(contents, wanted)
        except Exception as error:
            raise self._corrupt(key, f"{type(error).__name__}: {error}", found.text) from error
        for name, array in arrays.items():
            if digest_array(array) != outputs[name].digest:
                raise self._corrupt(key, f"the array '{name}' is not what the record says", found.text)
        return arrays

    def save(self, record: ArtifactRecord, arrays: Mapping[str, NDArray[Any]]) -> ArtifactRecord:
        """Put an artifact in, whole or not at all. See `Store.save`."""
        from svdaudio.store.arrays import arrays_to_bytes

        key, attempt = record.key, secrets.token_hex(8)
        folder = _arrays_folder(key, attempt)
        contents = {f"{folder}/{path}": content for path, content in arrays_to_bytes(arrays).items()}
        self._make()
        self._at_step("begin")
        try:
            self._objects.put_all(contents)
        except BaseException:
            with suppress(StoreError):
                self._objects.delete(contents)
            raise
        self._at_step("arrays written")
        # From here on the record may be there even when the store could not say so: the arrays stay.
        text = seal({"arrays": attempt, "record": json.loads(record.to_json())}).encode()
        while self._objects.create(_record_path(key), text) is None:
            earlier = self.find(key)
            if earlier is not None:
                self._objects.delete(contents)
                return earlier
        self._at_step("record written")
        self._at_step("done")
        return record

    @contextmanager
    def _lock(self, key: str, waiting: Callable[[], None]) -> Generator[None]:
        self._make()
        with self._lease(key, waiting):
            yield
        if self._objects.get(_record_path(key)) is not None:  # nobody computes what is there
            self._objects.delete([f"leases/{key}"])

    def lock(self, key: str, waiting: Callable[[], None] = do_nothing) -> AbstractContextManager[None]:
        """Hold `key` by a lease. See `Store.lock`."""
        return self._lock(key, waiting)

    def quarantine(self, key: str, why: str, seen: bytes | None = None) -> str | None:
        """Set an artifact aside as damaged. See `Store.quarantine`.

        Args:
            key: of the artifact.
            why: what is wrong with it.
            seen: the record that was found damaged; if another one is there by now, it stays.
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
            log.warning("artifact %s is damaged (%s) and cannot be set aside: %s", key[:12], why, error)
            return None
        where = f"{self.location}/{target}"
        log.warning("artifact %s is damaged (%s); it is now in %s", key[:12], why, where)
        return where

    def was_quarantined(self, key: str) -> bool:
        """Whether an artifact of this key was ever set aside."""
        return next(self._objects.list(f"quarantine/{key}"), None) is not None

    def keys(self) -> Iterator[str]:
        """Keys of every artifact, in no order."""
        for listed in self._objects.list("records"):
            yield _key(listed)

    def touch(self, key: str) -> None:
        """Note that an artifact is of use now, to the hour. See `Store.touch`."""
        try:
            stored = self._objects.get(_record_path(key))
            if stored is None:
                return
            used = self._objects.get(f"used/{key}")
            if time.time() - (used or stored).modified_at.timestamp() > TOUCHED_EVERY_S:
                self._objects.put(f"used/{key}", b"")
        except StoreError as error:
            log.debug("artifact %s cannot be touched: %s", key[:12], error)

    def footprints(self) -> Iterator[Footprint]:
        """Size and last use of every artifact, from listings alone. See `Store.footprints`."""
        sizes: Counter[str] = Counter()
        for listed in self._objects.list("arrays"):
            sizes[listed.path.split("/")[2]] += listed.n_bytes
        used = {listed.path.rpartition("/")[2]: listed.modified_at for listed in self._objects.list("used")}
        for listed in self._objects.list("records"):
            key = _key(listed)
            last = max(listed.modified_at, used.get(key, listed.modified_at))
            yield Footprint(key=key, n_bytes=listed.n_bytes + sizes[key], used_at_s=last.timestamp())

    def remove(self, key: str, *, unless_used_after_s: float) -> bool:
        """Take an artifact out: its record first, whole or not at all. See `Store.remove`."""
        try:
            with self._lease(key, refuse_to_wait):
                stored = self._objects.get(_record_path(key))
                if stored is None:
                    return False
                used = self._objects.get(f"used/{key}") or stored
                if max(stored.modified_at, used.modified_at).timestamp() > unless_used_after_s:
                    return False
                self._objects.delete([_record_path(key)])
                self._objects.delete(listed.path for listed in self._objects.list(f"arrays/{key[:2]}/{key}"))
                self._objects.delete([f"used/{key}"])
        except HeldError:
            return False
        self._objects.delete([f"leases/{key}"])
        return True

    def pin(self, key: str) -> None:
        """Keep an artifact from ever being collected. See `Store.pin`."""
        self._make()
        self._objects.put(f"pins/{key}", b"")

    def unpin(self, key: str) -> bool:
        """Undo `pin`. See `Store.unpin`."""
        if self._objects.get(f"pins/{key}") is None:
            return False
        self._objects.delete([f"pins/{key}"])
        return True

    def pins(self) -> frozenset[str]:
        """Keys that are pinned. See `Store.pins`."""
        return frozenset(listed.path.rpartition("/")[2] for listed in self._objects.list("pins"))

    def leftovers(self) -> Iterator[Leftover]:
        """What the dead have left. See `Store.leftovers`."""
        leases = {listed.path: listed for listed in self._objects.list("leases")}
        read = self._objects.get_all(leases)
        held = {path.rpartition("/")[2] for path, content in read.items() if stands(content)}
        for path, listed in leases.items():
            if path.rpartition("/")[2] not in held:
                yield _leftover(path, "lock", [listed])
        for name, members in _grouped(self._objects.list("quarantine"), 3).items():
            yield _leftover(name, "quarantined", members)
        records = set(self.keys())
        attempts = _grouped(self._objects.list("arrays"), 4)
        n_attempts = Counter(name.split("/")[2] for name in attempts)
        for name, members in attempts.items():
            key, attempt = name.split("/")[2:]
            # A key with a record and one set of arrays needs no second look: the record names them.
            if key in records and (n_attempts[key] == 1 or self._names(key, attempt)):
                continue
            if key not in held:
                yield _leftover(name, "unfinished", members)

    def clear(self, leftover: Leftover) -> bool:
        """Remove a leftover. See `Store.clear`."""
        name = leftover.name
        if leftover.kind == "lock":
            stored = self._objects.get(name)
            if stored is None or stands(stored.content):
                return False
            self._objects.delete([name])
            return True
        if leftover.kind == "quarantined":
            return self._delete_all(name)
        key, attempt = name.split("/")[2:]
        try:
            with self._lease(key, refuse_to_wait):
                cleared = not self._names(key, attempt) and self._delete_all(name)
        except HeldError:
            return False
        self._objects.delete([f"leases/{key}"])
        return cleared

    def _lease(self, key: str, waiting: Callable[[], None]) -> AbstractContextManager[None]:
        return lease(self._objects, f"leases/{key}", waiting, duration_s=self._lease_s)

    def _names(self, key: str, attempt: str) -> bool:
        """Whether the record of a key names these arrays."""
        stored = self._objects.get(_record_path(key))
        return stored is not None and _attempt(stored.content) == attempt

    def _delete_all(self, folder: str) -> bool:
        paths = [listed.path for listed in self._objects.list(folder)]
        self._objects.delete(paths)
        return bool(paths)

    def _find(self, key: str) -> _Found | None:
        stored = self._objects.get(_record_path(key))
        if stored is None:
            return None
        try:
            attempt, record = _read_record(stored.content)
            if record.key != key:
                raise ValueError("the record is that of another key")
        except ValueError as error:
            self.quarantine(key, str(error), stored.content)
            return None
        return _Found(record=record, folder=_arrays_folder(key, attempt), text=stored.content)

    def _check(self) -> bool:
        """Whether there is a store already."""
        stored = self._objects.get(MARKER)
        if stored is None:
            return False
        check_marker(stored.content, self.location, f"{self.location}/{MARKER}", kind="object")
        return True

    def _make(self) -> None:
        if not self._made:
            self._objects.create(MARKER, MARKER_TEXT.encode())
            self._made = True

    def _corrupt(self, key: str, why: str, seen: bytes) -> StoreError:
        where = self.quarantine(key, why, seen)
        if where is None and self._find(key) is None:  # taken away while it was being read
            return missing_artifact(key, self.location)
        return damaged_artifact(key, why, where)


class RemoteRunLog(RunLog):
    """The runs of a store in a bucket."""

    def __init__(self, objects: Objects, *, lease_s: float) -> None:
        self._objects = objects
        self._lease_s = lease_s

    @property
    def location(self) -> str:
        """The bucket and prefix."""
        return self._objects.location

    def write(self, run: RunRecord, *, durable: bool = True) -> RunRecord:
        """Create or replace the record of a run; returns it. See `RunLog.write`."""
        del durable  # an object store knows nothing less
        self._objects.put(_run_path(run.id), run.to_json().encode())
        return run

    def ids(self) -> list[str]:
        """Ids of every run, newest first."""
        names = (listed.path.rpartition("/")[2] for listed in self._objects.list("runs"))
        return sorted((name.removesuffix(".json") for name in names), reverse=True)

    def __iter__(self) -> Iterator[RunRecord]:
        """Every readable run, newest first, read some at a time. A damaged one is passed over with a warning."""
        ids = self.ids()
        for begin in range(0, len(ids), N_PARALLEL):
            some = ids[begin : begin + N_PARALLEL]
            read = self._objects.get_all(map(_run_path, some))
            for run_id in some:
                try:
                    yield RunRecord.from_json(read[_run_path(run_id)])
                except KeyError:  # forgotten a moment ago
                    continue
                except ValueError as error:
                    log.warning("the record of run %s in %s is passed over: %s", run_id, self.location, error)

    def read(self, run_id: str) -> RunRecord:
        """The record of a run. See `RunLog.read`."""
        stored = self._objects.get(_run_path(run_id))
        if stored is None:
            raise FileNotFoundError(run_id)
        return RunRecord.from_json(stored.content)

    def remove(self, run_id: str) -> bool:
        """Forget a run that nobody is at work on. See `RunLog.remove`."""
        if self._objects.get(_run_path(run_id)) is None:
            return False
        try:
            with lease(self._objects, _run_lease(run_id), refuse_to_wait, duration_s=self._lease_s):
                self._objects.delete([_run_path(run_id)])
        except HeldError:
            return False
        self._objects.delete([_run_lease(run_id)])
        return True

    def is_active(self, run_id: str) -> bool:
        """Whether a process is at work on the run: one that died counts until its lease has run out."""
        return is_held(self._objects, _run_lease(run_id))

    @contextmanager
    def hold(self, run_id: str) -> Generator[None]:
        """Work on a run, alone. See `RunLog.hold`."""

        def refuse() -> None:
            raise RunError(
                f"run {run_id} is still going in another process",
                fix=f"wait for it, or stop it first; the lease of one that died runs out within {self._lease_s:g} s",
            )

        with lease(self._objects, _run_lease(run_id), refuse, duration_s=self._lease_s):
            yield
        self._objects.delete([_run_lease(run_id)])


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A record, the folder of its arrays, and the text that it was read from."""

    record: ArtifactRecord
    folder: str
    text: bytes


def _open_again(location: str, lease_s: float, patience: Patience | None) -> RemoteStore:
    return RemoteStore(location, lease_s=lease_s, patience=patience, look=False)


def _key(record: Listed) -> str:
    return record.path.rpartition("/")[2].removesuffix(".json")


def _grouped(listing: Iterable[Listed], depth: int) -> dict[str, list[Listed]]:
    """Objects by the first `depth` parts of their paths."""
    groups: dict[str, list[Listed]] = {}
    for listed in listing:
        groups.setdefault("/".join(listed.path.split("/")[:depth]), []).append(listed)
    return groups


def _leftover(name: str, kind: LeftoverKind, members: Iterable[Listed]) -> Leftover:
    sizes, times = zip(*((listed.n_bytes, listed.modified_at.timestamp()) for listed in members), strict=True)
    return Leftover(name=name, kind=kind, n_bytes=sum(sizes), changed_at_s=max(times))


def _record_path(key: str) -> str:
    return f"records/{key[:2]}/{key}.json"


def _arrays_folder(key: str, attempt: str) -> str:
    return f"arrays/{key[:2]}/{key}/{attempt}"


def _run_path(run_id: str) -> str:
    return f"runs/{run_id}.json"


def _run_lease(run_id: str) -> str:
    return f"leases/run-{run_id}"


def _read_record(text: bytes) -> tuple[str, ArtifactRecord]:
    """Which writer's arrays a record names, and the record.

    Raises:
        ValueError: it is damaged.
    """
    fields = unseal(text)
    if not isinstance(attempt := fields.get("arrays"), str):
        raise ValueError("the record does not say where its arrays are")  # noqa: TRY004 - damage, no wrong argument
    return attempt, ArtifactRecord.from_json(json.dumps(fields.get("record")))


def _attempt(text: bytes) -> str | None:
    """Which writer's arrays a record names, if it can be read that far."""
    try:
        return _read_record(text)[0]
    except ValueError:
        return None
