"""Checks every file of a data set before training starts, so that all faults are reported at once.

Results are cached with the state of each file, so that a resumed training does not read every file again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from svdaudio.errors import SvdAudioError
from svdaudio.files import write_bytes
from svdaudio.pretraining.items import Fault, Item
from svdaudio.sounds.reading import read_sound
from svdaudio.svd.image_files import read_image_bytes
from svdaudio.svd.images import decode_image
from svdaudio.weights.digests import file_state, hash_file

LEAST_DURATION_S = 0.1
LEAST_PEAK = 1e-4
"""Fraction of full scale (-80 dB) below which a sound counts as silent."""
N_THREADS = 8


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Digests and faults of an item's files."""

    sound_sha256: str = ""
    picture_sha256: str = ""
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The usable items with their facts, and the faults of the others."""

    items: tuple[Item, ...]
    facts: tuple[Facts, ...]
    """One entry for each item."""
    faults: tuple[Fault, ...]


def check_items(
    items: Sequence[Item], cache: Path, *, needs_picture: bool, progress: Callable[[int, int], None]
) -> Checked:
    """Check the files of all items.

    Items that share a sound or a picture, byte for byte, are put into one group.

    Args:
        items: of a data set.
        cache: file that keeps the results; it need not exist.
        needs_picture: whether every item needs a picture; otherwise labels are enough.
        progress: receives the number of checked items and the total.
    """
    known = _cached(cache)

    def check(item: Item) -> tuple[str, dict[str, Any]]:
        key, state = _key(item), _states(item)
        entry = known.get(key)
        if entry is None or entry.get("state") != state:
            entry = {"state": state, **asdict(_read_files(item))}
        return key, entry

    entries: dict[str, dict[str, Any]] = {}
    with ThreadPoolExecutor(N_THREADS) as pool:
        for n_done, (key, entry) in enumerate(pool.map(check, items), start=1):
            entries[key] = entry
            progress(n_done, len(items))
    write_bytes(cache, json.dumps(entries).encode())

    faults: list[Fault] = []
    good: list[tuple[Item, Facts]] = []
    for item in items:
        entry = entries[_key(item)]
        found = [*entry["faults"], *_missing_parts(item, needs_picture=needs_picture)]
        faults += [Fault(where=item.name, what=what) for what in found]
        if not found:
            facts = Facts(sound_sha256=entry["sound_sha256"], picture_sha256=entry["picture_sha256"])
            good.append((item, facts))
    grouped = _joined_groups(good)
    return Checked(items=grouped, facts=tuple(facts for _, facts in good), faults=tuple(faults))


def _missing_parts(item: Item, *, needs_picture: bool) -> tuple[str, ...]:
    if item.picture is None and needs_picture:
        return ("a sound without a picture of the same name",)
    return () if item.picture is not None or item.labels else ("a sound without a picture and without labels",)


def _read_files(item: Item) -> Facts:
    """Read an item's files, and collect their digests and faults."""
    faults: list[str] = []
    sound_sha256 = picture_sha256 = ""
    try:
        sound_sha256 = hash_file(item.sound)
        waveform, rate_hz = read_sound(item.sound)
        if not np.isfinite(waveform).all():
            faults.append(f"{item.sound.name} has samples that are not finite")
        elif len(waveform) < LEAST_DURATION_S * rate_hz:
            faults.append(
                f"{item.sound.name} is too short: {len(waveform) / rate_hz:.3f} s, {LEAST_DURATION_S} s needed"
            )
        elif np.abs(waveform).max() < LEAST_PEAK:
            faults.append(f"{item.sound.name} is silent")
    except (SvdAudioError, OSError) as error:
        faults.append(_line(error))
    if item.picture is not None:
        try:
            picture_sha256 = hash_file(item.picture)
            decode_image(read_image_bytes(item.picture), str(item.picture))
        except (SvdAudioError, OSError) as error:
            faults.append(_line(error))
    return Facts(sound_sha256=sound_sha256, picture_sha256=picture_sha256, faults=tuple(faults))


def _line(error: Exception) -> str:
    return error.line() if isinstance(error, SvdAudioError) else f"{error}."


def _key(item: Item) -> str:
    return f"{item.sound}|{item.picture}"


def _states(item: Item) -> list[Any]:
    """Size in bytes and modification time of an item's files; None for a missing one."""
    states: list[Any] = []
    for path in (item.sound, item.picture):
        try:
            state = None if path is None else file_state(path)
        except OSError:
            state = None
        states.append(None if state is None else [state.bytes, state.modified_ns])
    return states


def _cached(cache: Path) -> Mapping[str, dict[str, Any]]:
    """The results of an earlier check; empty if they cannot be read."""
    try:
        return json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _joined_groups(items: Sequence[tuple[Item, Facts]]) -> tuple[Item, ...]:
    """The items, with the groups of those that share a file merged."""
    parents: dict[str, str] = {}

    def root(group: str) -> str:
        while (parent := parents.setdefault(group, group)) != group:
            group = parent
        return group

    owners: dict[str, str] = {}
    for item, facts in items:
        for digest in filter(None, (facts.sound_sha256, facts.picture_sha256)):
            first = root(owners.setdefault(digest, item.group))
            other = root(item.group)
            parents[max(first, other)] = min(first, other)
    return tuple(replace(item, group=root(item.group)) for item, _ in items)
