"""What every store says alike: the marker that makes a place a store, and what is missing or damaged in it."""

from __future__ import annotations

import json

from svdaudio.errors import CorruptArtifactError, MissingArtifactError, NewerRecordError, StoreError
from svdaudio.store.fields import is_key

MARKER = "store.json"
STORE_FORMAT = 1
MARKER_TEXT = json.dumps({"what": "svdaudio store", "format": STORE_FORMAT}) + "\n"
"""What the marker holds."""


def check_marker(text: bytes, store: str, marker: str, *, kind: str) -> None:
    """Make sure that a marker is that of a store of this format.

    Args:
        text: what the marker holds.
        store: location of the store.
        marker: location of the marker.
        kind: what a marker is there, "file" or "object".

    Raises:
        StoreError: the marker is damaged, or the store of another format.
    """
    try:
        found = json.loads(text)["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(
            f"{marker} is damaged", got=error, fix=f"give another --store, or remove that {kind}"
        ) from error
    if found != STORE_FORMAT:
        raise StoreError(
            f"the store {store} is of another format", expected=STORE_FORMAT, got=found, fix="give another --store"
        )


def check_key(key: str) -> None:
    """Refuse what is not the key of an artifact: a path made of it might leave the store.

    Raises:
        StoreError: it is not one.
    """
    if not is_key(key):
        raise StoreError(f"{key!r} is not the key of an artifact", expected="64 hexadecimal digits")


def missing_artifact(key: str, store: str) -> MissingArtifactError:
    """There is no artifact of that key."""
    return MissingArtifactError(f"there is no artifact {key[:12]} in {store}", fix="run the stage that makes it")


def damaged_artifact(key: str, why: str, quarantined: str | None) -> CorruptArtifactError:
    """An artifact was found damaged; `quarantined` is where it is now, None if it could not be set aside."""
    return CorruptArtifactError(
        f"artifact {key[:12]} is damaged",
        got=why,
        fix=f"run again to compute it anew; the damaged one is in {quarantined}" if quarantined else None,
    )


def newer_artifact(key: str, store: str, error: Exception) -> NewerRecordError:
    """The record of an artifact is of a format that only newer versions can read."""
    return NewerRecordError(
        f"artifact {key[:12]} in {store} was written by a newer version of svdaudio",
        got=error,
        fix="update svdaudio, or give another --store",
    )
