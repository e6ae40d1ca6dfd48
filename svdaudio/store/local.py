"""The store in a local folder.

    store.json                          what this folder is
    objects/ab/<key>/record.json        one artifact: its record,
    objects/ab/<key>/arrays.zarr/       and its arrays
    runs/<id>.json                      one run
    tmp/                                artifacts being written
    locks/<key>                         held by whoever computes the key
    quarantine/<key>.<n>/               damaged artifacts

An artifact is built under tmp/ on the same file system, flushed to the disk, and renamed into place: it is there
whole or not at all. The first writer wins, the second discards its own.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from svdaudio.errors import CorruptArtifactError, StoreError
from svdaudio.store.base import do_nothing
from svdaudio.store.locks import file_lock
from svdaudio.store.records import ArtifactRecord
from svdaudio.store.runs import RunLog

if TYPE_CHECKING:
    from numpy.typing import NDArray

STORE_FORMAT = 1
RECORD = "record.json"
ARRAYS = "arrays.zarr"

log = logging.getLogger(__name__)

Step = Literal["begin", "arrays written", "record written", "flushed", "renamed", "done"]


def at_no_step(step: Step) -> None:
    """What tests replace to stop a writer between two steps."""
    del step


def open_store(location: str | Path) -> LocalStore:
    """The store at a folder. A folder that does not exist yet is an empty store, made on the first write.

    Raises:
        StoreError: it is no folder, or a store of another format.
    """
    text = str(location)
    if "://" in text:
        raise StoreError(
            f"the store {text} is of a kind that is not known", expected="a folder", got=text.partition("://")[0]
        )
    return LocalStore(Path(text).expanduser())


class LocalStore:
    """Artifacts and runs in a folder.

    Args:
        folder: where; made on the first write.
        durable: wait for the disk before an artifact counts as there. A store that may be lost can go without.
        at_step: called after each step of writing an artifact. Tests use it to stop there.

    Raises:
        StoreError: `folder` is no folder, or a store of another format.
    """

    def __init__(self, folder: Path, *, durable: bool = True, at_step: Callable[[Step], None] = at_no_step) -> None:
        self.folder = folder.absolute()
        self._durable = durable
        self.runs = RunLog(self.folder / "runs")
        self._at_step = at_step
        self._check()

    @property
    def location(self) -> str:
        """The folder."""
        return str(self.folder)

    def path(self, key: str) -> Path:
        """Where the artifact of a key lies, if it is there."""
        return self.folder / "objects" / key[:2] / key

    def find(self, key: str) -> ArtifactRecord | None:
        """The record of an artifact, or None. A damaged record is put into quarantine and counts as none."""
        path = self.path(key) / RECORD
        try:
            text = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unreadable(error) from error
        try:
            record = ArtifactRecord.from_json(text)
            if record.key != key:
                raise ValueError("the record is that of another key")
        except ValueError as error:
            self.quarantine(key, str(error), text)
            return None
        return record

    def load(self, key: str, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
        """Arrays of an artifact, checked. See `Store.load`."""
        from svdaudio.store.arrays import read_arrays
        from svdaudio.store.keys import digest_array

        record = self.find(key)
        if record is None:
            raise StoreError(f"there is no artifact {key[:12]} in {self.folder}", fix="run the stage that makes it")
        wanted = list(record.outputs if names is None else names)
        try:
            arrays = read_arrays(self.path(key) / ARRAYS, wanted)
        except PermissionError as error:
            raise self._unreadable(error) from error
        except Exception as error:
            raise self._corrupt(key, f"{type(error).__name__}: {error}") from error
        for name, array in arrays.items():
            if digest_array(array) != record.outputs[name].digest:
                raise self._corrupt(key, f"the array '{name}' is not what the record says")
        return arrays

    def save(self, record: ArtifactRecord, arrays: Mapping[str, NDArray[Any]]) -> ArtifactRecord:
        """Put an artifact in, whole or not at all. See `Store.save`."""
        from svdaudio.store.arrays import write_arrays

        key = record.key
        building = self.folder / "tmp" / f"{key[:16]}.{os.getpid()}.{secrets.token_hex(4)}"
        try:
            self._make()
            building.mkdir()
            try:
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
            raise self._unwritable(error) from error

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
                if target.exists():  # a folder without a record is no artifact
                    self.quarantine(record.key, "there is no record")
                continue
            self._at_step("renamed")
            if self._durable:
                _flush_folder(target.parent)
            self._at_step("done")
            return record

    def lock(self, key: str, waiting: Callable[[], None] = do_nothing) -> AbstractContextManager[None]:
        """Hold `key` against other processes and threads. See `Store.lock`."""
        try:
            self._make()
        except OSError as error:
            raise self._unwritable(error) from error
        return file_lock(self.folder / "locks" / key, waiting)

    def quarantine(self, key: str, why: str, seen: bytes | None = None) -> str | None:
        """Set an artifact aside as damaged. See `Store.quarantine`.

        Args:
            key: of the artifact.
            why: what is wrong with it.
            seen: the record that was found damaged; if another one is there by now, it stays.
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
            log.warning("artifact %s is damaged (%s) and cannot be set aside: %s", key[:12], why, error.strerror)
            return None
        log.warning("artifact %s is damaged (%s); it is now in %s", key[:12], why, target)
        return str(target)

    def was_quarantined(self, key: str) -> bool:
        """Whether an artifact of this key was ever set aside."""
        return next((self.folder / "quarantine").glob(f"{key}.*"), None) is not None

    def keys(self) -> Iterator[str]:
        """Keys of every artifact, in no order."""
        for record in self.folder.glob(f"objects/??/*/{RECORD}"):
            yield record.parent.name

    def _check(self) -> None:
        marker = self.folder / "store.json"
        try:
            if self.folder.exists() and not self.folder.is_dir():
                raise StoreError(f"the store {self.folder} is not a folder", fix="give another --store")
            found = json.loads(marker.read_bytes())["format"] if marker.exists() else STORE_FORMAT
        except OSError as error:
            raise self._unreadable(error) from error
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{marker} is damaged", got=error, fix="give another --store, or remove that file"
            ) from error
        if found != STORE_FORMAT:
            raise StoreError(
                f"the store {self.folder} is of another format",
                expected=STORE_FORMAT,
                got=found,
                fix="give another --store",
            )

    def _make(self) -> None:
        marker = self.folder / "store.json"
        if marker.exists() and (self.folder / "tmp").is_dir() and (self.folder / "locks").is_dir():
            return
        for name in ("objects", "tmp", "locks"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        partial = self.folder / "tmp" / f"store.{secrets.token_hex(4)}"
        partial.write_text(json.dumps({"what": "svdaudio store", "format": STORE_FORMAT}) + "\n", encoding="utf-8")
        partial.replace(marker)

    def _corrupt(self, key: str, why: str) -> CorruptArtifactError:
        where = self.quarantine(key, why)
        return CorruptArtifactError(
            f"artifact {key[:12]} is damaged",
            got=why,
            fix=f"run again to compute it anew; the damaged one is in {where}" if where else None,
        )

    def _unreadable(self, error: OSError) -> StoreError:
        return StoreError(
            f"the store {self.folder} cannot be read", got=error.strerror or str(error), fix="check its permissions"
        )

    def _unwritable(self, error: OSError) -> StoreError:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return StoreError(
            f"the store {self.folder} cannot be written",
            got=error.strerror or str(error),
            fix="make room, or give another --store" if full else "check its permissions, or give another --store",
        )


def _flush(folder: Path) -> None:
    """Bring every file and folder below `folder`, and itself, to the disk."""
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
