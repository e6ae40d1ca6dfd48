"""Read the records of many artifacts, in parallel where that is faster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from svdaudio.errors import NewerRecordError
from svdaudio.store.base import Store
from svdaudio.store.records import ArtifactRecord

N_ROUNDS = 2
"""Records requested in advance, as a multiple of those read in parallel."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """The result of looking up a key."""

    key: str
    record: ArtifactRecord | None
    """None if no readable record exists: it is gone, was damaged, or is newer."""
    is_newer: bool = False
    """A newer version of svdaudio wrote the record."""


def read_records(store: Store, keys: Iterable[str]) -> Iterator[Found]:
    """The records of some artifacts, in the order of their keys. Records that are not consumed are not read.

    Raises:
        StoreError: the store cannot be read.
    """

    def read(key: str) -> Found:
        try:
            return Found(key=key, record=store.find(key))
        except NewerRecordError:
            return Found(key=key, record=None, is_newer=True)

    if store.n_readers == 1:
        yield from map(read, keys)
        return
    rest = iter(keys)
    with ThreadPoolExecutor(store.n_readers, thread_name_prefix="svdaudio-records") as pool:
        while some := list(islice(rest, N_ROUNDS * store.n_readers)):
            yield from pool.map(read, some)
