"""The store in a local folder.

    store.json                          what this folder is
    objects/ab/<key>/record.json        one artifact: its record,
    objects/ab/<key>/arrays.zarr/       and its arrays
    runs/<id>.json                      one run
    tmp/                                artifacts being written
    locks/<key>                         held by whoever computes the key
    quarantine/<key>.<n>/               damaged artifacts
    pins/<key>                          keys that are never collected

An artifact is built under tmp/ on the same file system, flushed to the disk, and renamed into place: it is there
whole or not at all. The first writer wins, the second discards its own. The time of its record says when an
artifact was last of use.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from svdaudio.errors import StoreError
from svdaudio.store.base import Footprint, Leftover, do_nothing
from svdaudio.store.leftovers import clear_leftover, find_leftovers, folder_size
from svdaudio.store.locks import HeldError, building_lock, file_lock, refuse_to_wait
from svdaudio.store.marker import MARKER, MARKER_TEXT, check_marker, damaged_artifact, missing_artifact
from svdaudio.store.records import ArtifactRecord
from svdaudio.store.runs import FolderRunLog

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OWN = frozenset({"objects", "tmp", "locks", "runs", "out", "quarantine", "pins"})
_OWN_UNFINISHED = re.compile(r"store\.[0-9a-f]{8}$|[0-9a-f]{16}\.")
RECORD = "record.json"
ARRAYS = "arrays.zarr"

log = logging.getLogger(__name__)

Step = Literal["begin", "arrays written", "record written", "flushed", "renamed", "done"]


def at_no_step(step: Step) -> None:
    """What tests replace to stop a writer between two steps."""
    del step


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
        self.runs = FolderRunLog(self.folder / "runs")
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
        found = self._read_record(key)
        return found[1] if found else None

    def _read_record(self, key: str) -> tuple[bytes, ArtifactRecord] | None:
        """The record as it lies there, and what it says."""
        try:
            text = (self.path(key) / RECORD).read_bytes()
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
        return text, record

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
        except PermissionError as error:
            raise self._unreadable(error) from error
        except Exception as error:
            raise self._corrupt(key, f"{type(error).__name__}: {error}", seen) from error
        for name, array in arrays.items():
            if digest_array(array) != record.outputs[name].digest:
                raise self._corrupt(key, f"the array '{name}' is not what the record says", seen)
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

    @contextmanager
    def lock(self, key: str, waiting: Callable[[], None] = do_nothing) -> Generator[None]:
        """Hold `key` against other processes and threads. See `Store.lock`."""
        with ExitStack() as stack:
            try:
                self._make()
                stack.enter_context(file_lock(self.folder / "locks" / key, waiting))
            except OSError as error:
                raise self._unwritable(error) from error
            yield

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

    def touch(self, key: str) -> None:
        """Note that an artifact is of use now. See `Store.touch`."""
        with suppress(OSError):
            os.utime(self.path(key) / RECORD)

    def footprints(self) -> Iterator[Footprint]:
        """Size and last use of every artifact. See `Store.footprints`."""
        for key in self.keys():
            try:
                used_at_s = (self.path(key) / RECORD).stat().st_mtime
            except FileNotFoundError:  # removed a moment ago
                continue
            except OSError as error:
                raise self._unreadable(error) from error
            yield Footprint(key=key, n_bytes=folder_size(self.path(key)), used_at_s=used_at_s)

    def remove(self, key: str, *, unless_used_after_s: float) -> bool:
        """Take an artifact out, whole or not at all. See `Store.remove`."""
        aside = self.folder / "tmp" / f"{key[:16]}.removed.{secrets.token_hex(4)}"
        try:
            with self.lock(key, refuse_to_wait):
                if (self.path(key) / RECORD).stat().st_mtime > unless_used_after_s:
                    return False
                self.path(key).rename(aside)
        except (HeldError, FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise self._unwritable(error) from error
        shutil.rmtree(aside, ignore_errors=True)
        return True

    def pin(self, key: str) -> None:
        """Keep an artifact from ever being collected. See `Store.pin`."""
        try:
            self._make()
            (self.folder / "pins").mkdir(exist_ok=True)
            (self.folder / "pins" / key).touch()
        except OSError as error:
            raise self._unwritable(error) from error

    def unpin(self, key: str) -> bool:
        """Undo `pin`. See `Store.unpin`."""
        try:
            (self.folder / "pins" / key).unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise self._unwritable(error) from error
        return True

    def pins(self) -> frozenset[str]:
        """Keys that are pinned. See `Store.pins`."""
        try:
            return frozenset(path.name for path in (self.folder / "pins").iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()
        except OSError as error:
            raise self._unreadable(error) from error

    def leftovers(self) -> Iterator[Leftover]:
        """What the dead have left. See `Store.leftovers`."""
        return find_leftovers(self.folder) if (self.folder / MARKER).exists() else iter(())

    def clear(self, leftover: Leftover) -> bool:
        """Remove a leftover. See `Store.clear`."""
        try:
            return clear_leftover(self.folder, leftover)
        except OSError as error:
            raise self._unwritable(error) from error

    def _check(self) -> None:
        marker = self.folder / MARKER
        try:
            if self.folder.exists() and not self.folder.is_dir():
                raise StoreError(f"the store {self.folder} is not a folder", fix="give another --store")
            text = marker.read_bytes() if marker.exists() else None
            strangers = [] if text is not None else _strangers(self.folder)
        except OSError as error:
            raise self._unreadable(error) from error
        if text is not None:
            check_marker(text, self.location, str(marker), kind="file")
        elif strangers:
            raise StoreError(
                f"the folder {self.folder} is no store",
                expected="a store, or a folder that is empty or not there yet",
                got=", ".join(strangers[:3]) + (", …" if len(strangers) > 3 else ""),
                fix="give another --store",
            )

    def _make(self) -> None:
        marker = self.folder / MARKER
        if marker.exists() and (self.folder / "tmp").is_dir() and (self.folder / "locks").is_dir():
            return
        for name in ("objects", "tmp", "locks"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        partial = self.folder / "tmp" / f"store.{secrets.token_hex(4)}"
        partial.write_text(MARKER_TEXT, encoding="utf-8")
        partial.replace(marker)

    def _corrupt(self, key: str, why: str, seen: bytes) -> StoreError:
        where = self.quarantine(key, why, seen)
        if where is None and self._read_record(key) is None:  # taken away while it was being read
            return missing_artifact(key, self.location)
        return damaged_artifact(key, why, where)

    def _unreadable(self, error: OSError) -> StoreError:
        return StoreError(
            f"the store {self.folder} cannot be read", got=error.strerror or str(error), fix="check its permissions"
        )

    def _unwritable(self, error: OSError) -> StoreError:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        return StoreError(
            f"the store {self.folder} cannot be written",
            got=error.strerror or str(error),
            fix="make room, or give another --store" if full else "check its permissions, or give another --store",
        )


def _strangers(folder: Path) -> list[str]:
    """What in a folder without a marker was not put there by a store in the making; hidden things do not count."""
    found = [path.name for path in folder.glob("[!.]*") if path.name not in _OWN and path.name != "lost+found"]
    return sorted(found) or sorted(f"tmp/{p.name}" for p in folder.glob("tmp/*") if not _OWN_UNFINISHED.match(p.name))


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
