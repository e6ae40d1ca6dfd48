"""Opening the store that the user names: a folder, or `s3://bucket/prefix`."""

from __future__ import annotations

import re
from pathlib import Path

from svdaudio.errors import StoreError
from svdaudio.store.base import Store
from svdaudio.store.local import LocalStore

REMOTE = "s3://"


def is_remote(location: str | Path) -> bool:
    """Whether a location is an address, not a folder."""
    return "://" in str(location)


def open_store(location: str | Path) -> Store:
    """The store at a location. A folder or prefix that does not exist is an empty store, created on the first write.

    Raises:
        StoreError: the location is not a folder or has an unknown scheme, or the store has another format or cannot be
            reached.
    """
    text = str(location)
    if not text:
        raise StoreError("no store given", expected="a folder, or s3://bucket/prefix")
    if text.startswith(REMOTE):
        from svdaudio.store.remote import RemoteStore

        return RemoteStore(text)
    if re.match(r"[a-z0-9]{2,}:/(?!/)", text):
        scheme, _, rest = text.partition(":/")
        raise StoreError(f"the store {text} is neither a folder nor an address", fix=f"write {scheme}://{rest}")
    if is_remote(text):
        raise StoreError(
            f"the store {text} has an unknown scheme",
            expected="a folder, or s3://bucket/prefix",
            got=text.partition("://")[0],
        )
    return LocalStore(Path(text).expanduser())
