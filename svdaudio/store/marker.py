"""Shared by all stores: the marker that identifies a store, and errors for missing or damaged artifacts."""

from __future__ import annotations

import json

from svdaudio.errors import CorruptArtifactError, MissingArtifactError, NewerRecordError, StoreError
from svdaudio.store.fields import is_key

MARKER = "store.json"
STORE_FORMAT = 1
MARKER_TEXT = json.dumps({"what": "svdaudio store", "format": STORE_FORMAT}) + "\n"
"""Content of the marker."""


def check_marker(text: bytes, store: str, marker: str, *, kind: str) -> None:
    """Check that a marker belongs to a store of this format.

    Args:
        text: content of the marker.
        store: location of the store.
        marker: location of the marker.
        kind: what a marker is in this store, "file" or "object".

    Raises:
        StoreError: the marker is damaged, or the store has another format.
    """
    try:
        found = json.loads(text)["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(
            f"{marker} is damaged", got=error, fix=f"choose another --store, or remove that {kind}"
        ) from error
    if found != STORE_FORMAT:
        raise StoreError(
            f"the store {store} has another format", expected=STORE_FORMAT, got=found, fix="choose another --store"
        )


def check_key(key: str) -> None:
    """Reject an invalid artifact key: a path made of it might leave the store.

    Raises:
        StoreError: the key is not valid.
    """
    if not is_key(key):
        raise StoreError(f"{key!r} is not a valid artifact key", expected="64 hexadecimal digits")


def missing_artifact(key: str, store: str) -> MissingArtifactError:
    """The error for a key without an artifact."""
    return MissingArtifactError(f"artifact {key[:12]} does not exist in {store}", fix="run the stage that computes it")


def damaged_artifact(key: str, why: str, quarantined: str | None) -> CorruptArtifactError:
    """The error for a damaged artifact; `quarantined` is its new location, None if it could not be moved."""
    return CorruptArtifactError(
        f"artifact {key[:12]} is damaged",
        got=why,
        fix=f"run again to recompute it; the damaged one is in {quarantined}" if quarantined else None,
    )


def newer_artifact(key: str, store: str, error: Exception) -> NewerRecordError:
    """The error for an artifact whose record only newer versions can read."""
    return NewerRecordError(
        f"artifact {key[:12]} in {store} was written by a newer version of svdaudio",
        got=error,
        fix="update svdaudio, or choose another --store",
    )
