"""What every store of artifacts can do; tests/contract holds each backend to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from svdaudio.store.records import ArtifactRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from svdaudio.store.runs import RunLog


def do_nothing() -> None:
    """What to do while waiting, if there is nothing to say."""


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

    def find(self, key: str) -> ArtifactRecord | None:
        """The record of an artifact, or None. A damaged record is put into quarantine and counts as none."""
        ...

    def load(self, key: str, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
        """Arrays of an artifact (all of them, or `names`), each checked against its digest.

        Raises:
            CorruptArtifactError: an array is missing or is not what its record says; it is in quarantine now.
            StoreError: there is no such artifact.
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
        """Keys of every artifact, in no order."""
        ...
