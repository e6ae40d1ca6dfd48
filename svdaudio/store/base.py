"""What every store of artifacts can do; tests/contract holds each backend to it."""

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
    """What to do while waiting, if there is nothing to say."""


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What an artifact takes up, and when it was last of use."""

    key: str
    n_bytes: int
    used_at_s: float
    """Unix time at which it was saved or last touched, whichever is later."""


LeftoverKind = Literal["unfinished", "quarantined", "lock"]


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """Something in the store that is no artifact and that nobody is at work on."""

    name: str
    """Where it is, within the store."""
    kind: LeftoverKind
    """`unfinished`: what a writer that died had begun. `quarantined`: a damaged artifact. `lock`: a lock whose
    holder died."""
    n_bytes: int
    changed_at_s: float
    """Unix time."""


class Store(Protocol):
    """Artifacts by action key, and the records of runs."""

    @property
    def location(self) -> str:
        """Where the store is, as the user would name it."""
        ...

    @property
    def runs(self) -> RunLog:
        """The records of runs."""
        ...

    @property
    def n_readers(self) -> int:
        """How many records are best read at a time."""
        ...

    def prepare(self) -> None:
        """Make sure that the store can be changed, before anything is. Makes it if it is not there yet.

        Raises:
            StoreError: it cannot be written, or lacks something that safe changes need.
        """
        ...

    def examine(self) -> None:
        """Check that the store can be changed safely, without creating it.

        Raises:
            StoreError: it cannot.
        """
        ...

    def find(self, key: str) -> ArtifactRecord | None:
        """The record of an artifact, or None. A damaged record is put into quarantine and counts as none.

        Raises:
            NewerRecordError: a newer version of svdaudio wrote it; it stays as it is.
            StoreError: the store cannot be read.
        """
        ...

    def is_newer(self, key: str) -> bool:
        """Whether a newer version of svdaudio wrote the record of a key. A damaged record stays where it is."""
        ...

    def load(self, key: str, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
        """Arrays of an artifact (all of them, or `names`), each checked against its digest.

        Raises:
            CorruptArtifactError: an array is missing or is not what its record says; it is in quarantine now.
            MissingArtifactError: there is no such artifact, or it was removed while it was read.
        """
        ...

    def save(self, record: ArtifactRecord, arrays: Mapping[str, NDArray[Any]]) -> ArtifactRecord:
        """Put an artifact in, whole or not at all. The first writer wins.

        Returns:
            The record in force: `record`, or that of whoever was first.

        Raises:
            StoreError: the store is read-only, full, or otherwise not writable.
        """
        ...

    def lock(self, key: str, waiting: Callable[[], None] = do_nothing) -> AbstractContextManager[None]:
        """Hold `key` against other processes and threads. Freed when the holder dies.

        Args:
            key: any action key.
            waiting: called once if someone else holds it.
        """
        ...

    def quarantine(self, key: str, why: str) -> str | None:
        """Set an artifact aside as damaged; returns where it is now, or None if there was none."""
        ...

    def was_quarantined(self, key: str) -> bool:
        """Whether an artifact of this key was ever set aside."""
        ...

    def keys(self) -> Iterator[str]:
        """Keys of every artifact, in no order.

        Raises:
            StoreError: the store, or a part of it, cannot be read.
        """
        ...

    def touch(self, key: str) -> None:
        """Note that an artifact is of use now, for `footprints`; may be coarse (an hour).

        Does nothing where the store cannot be written, or where there is no such artifact.
        """
        ...

    def last_uses(self) -> dict[str, float]:
        """Key → when the artifact was last of use, as in `Footprint`. Quicker than `footprints`.

        Raises:
            StoreError: the store, or a part of it, cannot be read.
        """
        ...

    def footprints(self, keys: Collection[str] | None = None) -> Iterator[Footprint]:
        """Size and last use of every artifact, in no order.

        Args:
            keys: of these alone.

        Raises:
            StoreError: the store, or a part of it, cannot be read.
        """
        ...

    def remove(self, key: str, *, unless_used_after_s: float) -> bool:
        """Take an artifact out, whole or not at all.

        Args:
            key: of the artifact.
            unless_used_after_s: Unix time; it stays if it was of use later than this. A last use that lies in the
                future by more than `CLOCK_TOLERANCE_S` was noted by a wrong clock, and does not count.

        Returns:
            False if it stays: because of that, because it is pinned, because another process or thread holds its key,
            or because a newer version of svdaudio wrote it. False, too, if there was none.

        Raises:
            StoreError: the store cannot be written.
        """
        ...

    def pin(self, key: str) -> None:
        """Keep an artifact from ever being collected. Pinning twice is pinning once.

        An artifact that still exists when this returns is kept, even if a running collection has planned to remove it.
        """
        ...

    def unpin(self, key: str) -> bool:
        """Undo `pin`; False if it was not pinned."""
        ...

    def pins(self) -> frozenset[str]:
        """Keys that are pinned, whether or not there are artifacts of them."""
        ...

    def leftovers(self) -> Iterator[Leftover]:
        """What writers that died, locks without a holder and quarantine have left, in no order."""
        ...

    def clear(self, leftover: Leftover) -> bool:
        """Remove a leftover; False if it is gone already, or somebody is at work on it again.

        Raises:
            StoreError: the store cannot be written.
        """
        ...
