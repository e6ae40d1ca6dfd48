"""The interface of every artifact store; tests/contract checks each backend against it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from svdaudio.store.records import ArtifactRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from svdaudio.store.runs import RunLog


def do_nothing() -> None:
    """Default `waiting` callback: does nothing."""


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Size of an artifact, and when it was last used."""

    key: str
    n_bytes: int
    used_at_s: float
    """Unix time at which it was saved or last touched, whichever is later."""


LeftoverKind = Literal["unfinished", "quarantined", "lock"]


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """Something in the store that is neither an artifact nor in use by a process."""

    name: str
    """Its path within the store."""
    kind: LeftoverKind
    """`unfinished`: begun by a writer that died. `quarantined`: a damaged artifact. `lock`: a lock whose
    holder died."""
    n_bytes: int
    changed_at_s: float
    """Unix time."""


class Store(Protocol):
    """Artifacts by action key, and the records of runs."""

    @property
    def location(self) -> str:
        """Location of the store, as the user would name it."""
        ...

    @property
    def runs(self) -> RunLog:
        """The records of runs."""
        ...

    @property
    def n_readers(self) -> int:
        """How many records to read in parallel."""
        ...

    def prepare(self) -> None:
        """Check that the store can be changed, before changing anything. Creates it if necessary.

        Raises:
            StoreError: it cannot be written, or lacks a feature that safe changes need.
        """
        ...

    def examine(self) -> None:
        """Check that the store can be changed safely, without creating it.

        Raises:
            StoreError: it cannot.
        """
        ...

    def find(self, key: str) -> ArtifactRecord | None:
        """The record of an artifact, or None. A damaged record is moved to quarantine and treated as missing.

        Raises:
            NewerRecordError: a newer version of svdaudio wrote it; it is left unchanged.
            StoreError: the store cannot be read.
        """
        ...

    def is_newer(self, key: str) -> bool:
        """Whether a newer version of svdaudio wrote the record of a key. A damaged record is not moved."""
        ...

    def load(self, key: str, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
        """Arrays of an artifact (all of them, or `names`), each checked against its digest.

        Raises:
            CorruptArtifactError: an array is missing or does not match the record; the artifact is now in quarantine.
            MissingArtifactError: the artifact does not exist, or was removed while it was being read.
        """
        ...

    def save(self, record: ArtifactRecord, arrays: Mapping[str, NDArray[Any]]) -> ArtifactRecord:
        """Save an artifact atomically. The first writer wins.

        Returns:
            The record in force: `record`, or that of the first writer.

        Raises:
            StoreError: the store is read-only, full, or otherwise not writable.
        """
        ...

    def lock(self, key: str, waiting: Callable[[], None] = do_nothing) -> AbstractContextManager[None]:
        """Hold `key` against other processes and threads. Freed when the holder dies.

        Args:
            key: any action key.
            waiting: called once if another process or thread holds the key.
        """
        ...

    def quarantine(self, key: str, why: str) -> str | None:
        """Move a damaged artifact to quarantine; returns its new location, or None if it does not exist."""
        ...

    def was_quarantined(self, key: str) -> bool:
        """Whether an artifact of this key was ever quarantined."""
        ...

    def keys(self) -> Iterator[str]:
        """Keys of every artifact, in no order.

        Raises:
            StoreError: the store, or a part of it, cannot be read.
        """
        ...

    def touch(self, key: str) -> None:
        """Record that an artifact is used now, for `footprints`; the resolution may be coarse (an hour).

        Does nothing if the store cannot be written or the artifact does not exist.
        """
        ...

    def last_uses(self) -> dict[str, float]:
        """Key → when the artifact was last used, as in `Footprint`. Faster than `footprints`.

        Raises:
            StoreError: the store, or a part of it, cannot be read.
        """
        ...

    def footprints(self, keys: Collection[str] | None = None) -> Iterator[Footprint]:
        """Size and last use of every artifact, in no order.

        Args:
            keys: only of these artifacts.

        Raises:
            StoreError: the store, or a part of it, cannot be read.
        """
        ...

    def remove(self, key: str, *, unless_used_after_s: float) -> bool:
        """Remove an artifact atomically.

        Args:
            key: the artifact's key.
            unless_used_after_s: Unix time; an artifact used later than this stays. A last use that is more than
                `CLOCK_TOLERANCE_S` in the future was recorded by a wrong clock, and is ignored.

        Returns:
            False if it stays: it was used later, is pinned, another process or thread holds its key, or a newer version
            of svdaudio wrote it. Also False if it does not exist.

        Raises:
            StoreError: the store cannot be written.
        """
        ...

    def pin(self, key: str) -> None:
        """Protect an artifact from garbage collection. Pinning it again has no effect.

        An artifact that still exists when this returns is kept, even if a running collection has planned to remove it.
        """
        ...

    def unpin(self, key: str) -> bool:
        """Undo `pin`; False if it was not pinned."""
        ...

    def pins(self) -> frozenset[str]:
        """Keys that are pinned, whether or not their artifacts exist."""
        ...

    def leftovers(self) -> Iterator[Leftover]:
        """Unfinished writes, locks without a holder and quarantined artifacts, in no order."""
        ...

    def clear(self, leftover: Leftover) -> bool:
        """Remove a leftover; False if it is already gone, or a process uses it again.

        Raises:
            StoreError: the store cannot be written.
        """
        ...
