"""The store in a local folder.

    store.json                          marks the folder as a store
    objects/ab/<key>/record.json        one artifact: its record,
    objects/ab/<key>/arrays.zarr/       and its arrays
    runs/<id>.json                      one run
    tmp/                                artifacts being written
    locks/<key>                         held by the process that computes the key
    quarantine/<key>.<n>/               damaged artifacts
    pins/<key>                          keys that are never collected

An artifact is built under tmp/ on the same file system, flushed to the disk, and renamed into place, so it appears
atomically. The first writer wins, the second discards its own. The modification time of its record is the time of its
last use.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from svdaudio.errors import StoreError
from svdaudio.store.base import Footprint, Leftover, do_nothing
from svdaudio.store.fields import is_key
from svdaudio.store.folders import entries, is_there, size_of, unreadable, unwritable
from svdaudio.store.leftovers import clear_leftover, find_leftovers
from svdaudio.store.locks import HeldError, building_lock, file_lock, refuse_to_wait
from svdaudio.store.marker import (
    MARKER,
    MARKER_TEXT,
    check_key,
    check_marker,
    damaged_artifact,
    missing_artifact,
    newer_artifact,
)
from svdaudio.store.records import CLOCK_TOLERANCE_S, ArtifactRecord
from svdaudio.store.runs import FolderRunLog
from svdaudio.store.sealed import NewerFormatError, is_of_newer_format

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OWN = frozenset({"objects", "tmp", "locks", "runs", "out", "quarantine", "pins"})
_OWN_UNFINISHED = re.compile(r"store\.[0-9a-f]{8}$|[0-9a-f]{16}\.")
_DAMAGE = frozenset({None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO})
"""Error numbers of a damaged artifact. Others, such as missing permission or too many open files, concern the reading
process."""

RECORD = "record.json"
ARRAYS = "arrays.zarr"

log = logging.getLogger(__name__)

Step = Literal["begin", "arrays written", "record written", "flushed", "renamed", "done"]


def ignore_step(step: Step) -> None:
    """Default `at_step` callback: does nothing."""
    del step


class LocalStore:
    """Artifacts and runs in a folder.

    Args:
        folder: created on the first write.
        durable: wait for the disk before an artifact counts as saved. A disposable store need not.
        at_step: called after each step of writing an artifact. Tests use it to stop there.

    Raises:
        StoreError: `folder` is not a folder, or a store of another format.
    """

    def __init__(self, folder: Path, *, durable: bool = True, at_step: Callable[[Step], None] = ignore_step) -> None:
        self.folder = folder.absolute()
        self._objects = str(self.folder / "objects")
        self._durable = durable
        self.runs = FolderRunLog(self.folder / "runs")
        self._at_step = at_step
        self._made = False
        self._check()

    @property
    def location(self) -> str:
        """The folder."""
        return str(self.folder)

    @property
    def n_readers(self) -> int:
        """One: parsing, which threads cannot do in parallel, takes longer than reading."""
        return 1

    def prepare(self) -> None:
        """Check that the store can be changed. See `Store.prepare`."""
        try:
            self._make()
            check_one_file_system(self.folder)
            for place in (*_shards(self.folder), *(self.folder / name for name in sorted(_OWN - {"out"}))):
                if is_there(place) and not os.access(place, os.W_OK | os.X_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def examine(self) -> None:
        """Check that the whole store is on one file system. See `Store.examine`."""
        try:
            if is_there(self.folder / "tmp"):
                check_one_file_system(self.folder)
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def path(self, key: str) -> Path:
        """The folder of an artifact, whether or not it exists.

        Raises:
            StoreError: the key is not valid. A path made of it might leave the store.
        """
        check_key(key)
        return Path(self._objects, key[:2], key)

    def find(self, key: str) -> ArtifactRecord | None:
        """The record of an artifact, or None. A damaged record is moved to quarantine and treated as missing."""
        found = self._read_record(key)
        return found[1] if found else None

    def _read_record(self, key: str) -> tuple[bytes, ArtifactRecord] | None:
        """The text of a record, and its parsed content."""
        check_key(key)
        try:
            with open(f"{self._objects}/{key[:2]}/{key}/{RECORD}", "rb") as file:  # noqa: PTH123 - faster
                text = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise unreadable(self.folder, error) from error
        try:
            record = ArtifactRecord.from_json(text)
            if record.key != key:
                raise ValueError("the record belongs to another key")
        except NewerFormatError as error:
            raise newer_artifact(key, self.location, error) from error
        except ValueError as error:
            self.quarantine(key, str(error), text)
            return None
        return text, record

    def is_newer(self, key: str) -> bool:
        """Whether a newer version of svdaudio wrote the record. See `Store.is_newer`."""
        try:
            return is_of_newer_format((self.path(key) / RECORD).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise unreadable(self.folder, error) from error

    def load(self, key: str, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
        """Arrays of an artifact, checked. See `Store.load`."""
        from svdaudio.store.arrays import read_arrays
        from svdaudio.store.keys import digest_array

        found = self._read_record(key)
        if found is None:
            raise missing_artifact(key, self.location)
        seen, record = found
        wanted = list(record.outputs if names is None else names)
        try:
            arrays = read_arrays(self.path(key) / ARRAYS, wanted)
        except MemoryError as error:
            raise StoreError(f"artifact {key[:12]} does not fit into memory", fix="free some memory") from error
        except OSError as error:
            if error.errno not in _DAMAGE:
                raise unreadable(self.folder, error) from error
            raise self._corrupt(key, f"{type(error).__name__}: {error}", seen) from error
        except Exception as error:
            raise self._corrupt(key, f"{type(error).__name__}: {error}", seen) from error
        for name, array in arrays.items():
            if digest_array(array) != record.outputs[name].digest:
                raise self._corrupt(key, f"the array '{name}' does not match the record", seen)
        return arrays

    def save(self, record: ArtifactRecord, arrays: Mapping[str, NDArray[Any]]) -> ArtifactRecord:
        """Save an artifact atomically. See `Store.save`."""
        from svdaudio.store.arrays import write_arrays

        key = record.key
        building = self.folder / "tmp" / f"{key[:16]}.{os.getpid()}.{secrets.token_hex(4)}"
        try:
            self._make()
            building.mkdir()
            try:
                with building_lock(building):
                    self._at_step("begin")
                    write_arrays(building / ARRAYS, arrays)
                    self._at_step("arrays written")
                    (building / RECORD).write_text(record.to_json(), encoding="utf-8")
                    self._at_step("record written")
                    if self._durable:
                        _flush(building)
                    self._at_step("flushed")
                    return self._put(building, record)
            finally:
                shutil.rmtree(building, ignore_errors=True)
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def _put(self, building: Path, record: ArtifactRecord) -> ArtifactRecord:
        target = self.path(record.key)
        target.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                building.rename(target)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                earlier = self.find(record.key)
                if earlier is not None:
                    return earlier
                if is_there(target):  # a folder without a record is not an artifact
                    self.quarantine(record.key, "its record is missing")
                continue
            self._at_step("renamed")
            if self._durable:
                _flush_folder(target.parent)
            self._at_step("done")
            return record

    @contextmanager
    def lock(self, key: str, waiting: Callable[[], None] = do_nothing) -> Generator[None]:
        """Hold `key` against other processes and threads. See `Store.lock`."""
        check_key(key)
        with ExitStack() as stack:
            try:
                self._make()
                stack.enter_context(file_lock(self.folder / "locks" / key, waiting))
            except OSError as error:
                raise unwritable(self.folder, error) from error
            yield

    def quarantine(self, key: str, why: str, seen: bytes | None = None) -> str | None:
        """Move a damaged artifact to quarantine. See `Store.quarantine`.

        Args:
            key: the artifact's key.
            why: what is wrong with it.
            seen: text of the damaged record; if it has been replaced meanwhile, the new record stays.
        """
        source = self.path(key)
        try:
            if seen is not None and (source / RECORD).read_bytes() != seen:
                return None
            folder = self.folder / "quarantine"
            folder.mkdir(parents=True, exist_ok=True)
            target = folder / f"{key}.{secrets.token_hex(4)}"
            source.rename(target)
            (target / "why.txt").write_text(why + "\n", encoding="utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning(
                "artifact %s is damaged (%s) and cannot be moved to quarantine: %s", key[:12], why, error.strerror
            )
            return None
        log.warning("artifact %s is damaged (%s); moved to %s", key[:12], why, target)
        return str(target)

    def was_quarantined(self, key: str) -> bool:
        """Whether an artifact of this key was ever quarantined."""
        try:
            return any(entry.name.startswith(f"{key}.") for entry in entries(self.folder / "quarantine"))
        except OSError as error:
            raise unreadable(self.folder, error) from error

    def keys(self) -> Iterator[str]:
        """Keys of every artifact, in no order. See `Store.keys`."""
        yield from self.last_uses()

    def touch(self, key: str) -> None:
        """Record that an artifact is used now. See `Store.touch`."""
        with suppress(OSError):
            os.utime(self.path(key) / RECORD)

    def last_uses(self) -> dict[str, float]:
        """When every artifact was last used. See `Store.last_uses`."""
        uses: dict[str, float] = {}
        try:
            for shard in _shards(self.folder):
                for entry in entries(shard):
                    if is_key(entry.name) and entry.name.startswith(shard[-2:]):
                        with suppress(
                            FileNotFoundError, NotADirectoryError
                        ):  # a folder without a record, or removed meanwhile
                            uses[entry.name] = os.stat(f"{entry.path}/{RECORD}").st_mtime  # noqa: PTH116 - faster
        except OSError as error:
            raise unreadable(self.folder, error) from error
        return uses

    def footprints(self, keys: Collection[str] | None = None) -> Iterator[Footprint]:
        """Size and last use of every artifact. See `Store.footprints`."""
        for key in self.keys() if keys is None else keys:
            check_key(key)
            folder = f"{self._objects}/{key[:2]}/{key}"
            try:
                used_at_s = os.stat(f"{folder}/{RECORD}").st_mtime  # noqa: PTH116 - faster
                n_bytes = size_of(folder)
            except (FileNotFoundError, NotADirectoryError):  # removed a moment ago
                continue
            except OSError as error:
                raise unreadable(self.folder, error) from error
            yield Footprint(key=key, n_bytes=n_bytes, used_at_s=used_at_s)

    def remove(self, key: str, *, unless_used_after_s: float) -> bool:
        """Remove an artifact atomically. See `Store.remove`."""
        aside = self.folder / "tmp" / f"{key[:16]}.removed.{secrets.token_hex(4)}"
        record = self.path(key) / RECORD
        try:
            with self.lock(key, refuse_to_wait):
                ahead_s = time.time() + CLOCK_TOLERANCE_S
                if unless_used_after_s < record.stat().st_mtime <= ahead_s or is_of_newer_format(record.read_bytes()):
                    return False
                with self._pins_locked():  # no pin can be set between the check and the removal
                    if is_there(self._pin_path(key)):
                        return False
                    self.path(key).rename(aside)
        except (HeldError, FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise unwritable(self.folder, error) from error
        shutil.rmtree(aside, ignore_errors=True)
        return True

    def pin(self, key: str) -> None:
        """Protect an artifact from garbage collection. See `Store.pin`."""
        path = self._pin_path(key)
        try:
            self._make()
            path.parent.mkdir(exist_ok=True)
            with self._pins_locked():
                path.touch()
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def unpin(self, key: str) -> bool:
        """Undo `pin`. See `Store.unpin`."""
        try:
            self._pin_path(key).unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise unwritable(self.folder, error) from error
        return True

    def pins(self) -> frozenset[str]:
        """Keys that are pinned. See `Store.pins`."""
        try:
            return frozenset(entry.name for entry in entries(self.folder / "pins") if is_key(entry.name))
        except OSError as error:
            raise unreadable(self.folder, error) from error

    def leftovers(self) -> Iterator[Leftover]:
        """Leftovers of dead processes. See `Store.leftovers`."""
        try:
            if is_there(self.folder / MARKER):
                yield from find_leftovers(self.folder)
        except OSError as error:
            raise unreadable(self.folder, error) from error

    def clear(self, leftover: Leftover) -> bool:
        """Remove a leftover. See `Store.clear`."""
        try:
            return clear_leftover(self.folder, leftover)
        except FileNotFoundError:  # another `gc` has removed it
            return False
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def _check(self) -> None:
        marker = self.folder / MARKER
        try:
            if is_there(self.folder) and not self.folder.is_dir():
                raise StoreError(f"the store {self.folder} is not a folder", fix="choose another --store")
            text = marker.read_bytes() if is_there(marker) else None
            outer = _outer_store(self.folder) if text is None else None
            foreign = [] if text is not None else _foreign_entries(self.folder)
        except OSError as error:
            raise unreadable(self.folder, error) from error
        if text is not None:
            check_marker(text, self.location, str(marker), kind="file")
        elif outer is not None:
            raise StoreError(
                f"the folder {self.folder} is inside the store {outer}, which may delete it",
                fix="choose a --store outside it",
            )
        elif foreign:
            raise StoreError(
                f"the folder {self.folder} is not a store",
                expected="a store, or a folder that is empty or does not exist",
                got=", ".join(foreign[:3]) + (", …" if len(foreign) > 3 else ""),
                fix="choose another --store",
            )

    def _make(self) -> None:
        marker = self.folder / MARKER
        if self._made and marker.exists() and (self.folder / "tmp").is_dir() and (self.folder / "locks").is_dir():
            return
        for name in ("objects", "tmp", "locks"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        check_one_file_system(self.folder)
        if not is_there(marker):
            partial = self.folder / "tmp" / f"store.{secrets.token_hex(4)}"
            partial.write_text(MARKER_TEXT, encoding="utf-8")
            partial.replace(marker)
        self._made = True

    @contextmanager
    def _pins_locked(self) -> Generator[None]:
        """Keep other processes from pinning and removing. Held only briefly."""
        with file_lock(self.folder / "locks" / "pins", do_nothing):
            yield

    def _pin_path(self, key: str) -> Path:
        check_key(key)
        return self.folder / "pins" / key

    def _corrupt(self, key: str, why: str, seen: bytes) -> StoreError:
        where = self.quarantine(key, why, seen)
        if where is None and self._read_record(key) is None:  # removed while it was being read
            return missing_artifact(key, self.location)
        return damaged_artifact(key, why, where)


def _foreign_entries(folder: Path) -> list[str]:
    """Entries of a folder without a marker that no unfinished store could have created; hidden ones are ignored."""
    names = [entry.name for entry in entries(folder) if not entry.name.startswith(".")]
    found = [name for name in names if name not in _OWN and name != "lost+found"]
    unfinished = (entry.name for entry in entries(folder / "tmp"))
    return sorted(found) or sorted(f"tmp/{name}" for name in unfinished if not _OWN_UNFINISHED.match(name))


def _outer_store(folder: Path) -> Path | None:
    """The store in one of whose own folders a folder is, if any. `out` belongs to the user, and may contain stores."""
    place = folder.resolve()
    for outer in place.parents:
        if place.relative_to(outer).parts[0] in _OWN - {"out"} and is_there(outer / MARKER):
            return outer
    return None


def check_one_file_system(folder: Path) -> None:
    """Check that entries can be renamed from tmp/ to their place, and back to tmp/ for removal.

    The check renames a file that does not exist, because the kernel compares the file systems first. Comparing device
    numbers would miss a file system that is mounted twice.

    Raises:
        OSError: they cannot (EXDEV).
    """
    here, probe = folder / "tmp", f"{secrets.token_hex(8)}.probe"
    device = here.stat().st_dev
    places = [folder / "objects", folder / "quarantine", *map(Path, _shards(folder))]
    for place in filter(is_there, places):
        if place.stat().st_dev != device:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(place))
        try:
            (here / probe).rename(place / probe)
        except OSError as error:  # normally ENOENT
            if error.errno == errno.EXDEV:
                raise


def _shards(folder: Path) -> list[str]:
    """The folders that hold artifacts, named by the first two digits of their keys."""
    return [entry.path for entry in entries(folder / "objects") if len(entry.name) == 2]


def _flush(folder: Path) -> None:
    """Flush `folder` and every file and folder below it to the disk."""
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            _flush_path(Path(path) / name, os.O_RDONLY)
        _flush_folder(Path(path))


def _flush_folder(folder: Path) -> None:
    _flush_path(folder, os.O_RDONLY | os.O_DIRECTORY)


def _flush_path(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
