"""Looking up artifacts by the first digits of their keys, as users type them."""

from __future__ import annotations

from svdaudio.errors import InputError
from svdaudio.store.base import Store

N_SHORT = 12
"""Digits of a key that are shown."""


def full_key(store: Store, beginning: str, *, pinned: bool = False) -> str:
    """The one key in a store that begins with the given digits.

    Args:
        store: the store to search.
        beginning: one or more first digits of the key.
        pinned: search the pins, whether or not their artifacts exist.

    Raises:
        InputError: no key matches, or more than one.
    """
    wanted = beginning.lower()
    keys = store.pins() if pinned else store.keys()
    found = sorted({key for key in keys if key.startswith(wanted)}) if wanted else []
    if not found:
        what = "pin" if pinned else "artifact"
        raise InputError(
            f"no {what} in {store.location} has a key that begins with '{beginning}'",
            fix="`svdaudio cache ls` lists them",
        )
    if len(found) > 1:
        raise InputError(
            f"'{beginning}' matches {len(found)} artifacts",
            got=f"{found[0][:N_SHORT]}, {found[1][:N_SHORT]} …",
            fix="type more of the key",
        )
    return found[0]
