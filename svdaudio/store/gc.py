"""Garbage collection: artifacts that are no longer needed, and leftovers of dead processes.

    collection = plan_collection(store, Policy(keep_days=30), now_s=time.time())
    carry_out(store, collection)

Pinned artifacts and artifacts of kept runs stay; so do recent ones, which a run may be about to record. With
`max_bytes` the least recently used are removed first. Safe while flows are running: a run touches every artifact that
it finds, every removal checks again under the key's lock, and a flow whose input was removed anyway recomputes it.

Times in the future were recorded by a wrong clock. An artifact whose last use is in the future counts as the least
recently used, and such a leftover as old. A run dated in the future is kept, because its age is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

from svdaudio.errors import ConfigError
from svdaudio.store.base import Footprint, Leftover, Store
from svdaudio.store.records import CLOCK_TOLERANCE_S
from svdaudio.store.runs import RunRecord, begun_at_s

DAY_S = 86_400.0
HOUR_S = 3_600.0


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What may be removed.

    Raises:
        ConfigError: a number is negative.
    """

    keep_days: float | None = None
    """Records of runs that started earlier than this are removed; None keeps all."""
    max_bytes: int | None = None
    """Upper limit for the total size of artifacts; None for no limit."""
    grace_s: float = DAY_S
    """Anything newer than this is kept, unless `max_bytes` requires its removal."""

    def __post_init__(self) -> None:
        for name in ("keep_days", "max_bytes", "grace_s"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ConfigError(f"{name} is negative", expected="0 or more", got=value)


@dataclass(frozen=True, kw_only=True)
class Removal:
    """An artifact to remove."""

    footprint: Footprint
    why: Literal["no run uses it", "least recently used"]
    unless_used_after_s: float
    """Unix time; the artifact is kept if it is used later than this."""


@dataclass(frozen=True, kw_only=True)
class Collection:
    """What will be or was removed, and what is kept."""

    runs: tuple[str, ...] = ()
    """Ids of runs whose records are removed."""
    removals: tuple[Removal, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    n_kept: int = 0
    n_bytes_kept: int = 0
    """Of the artifacts that are kept."""
    remarks: tuple[str, ...] = ()
    """What could not be removed, and why."""

    @property
    def n_bytes(self) -> int:
        """Bytes of everything to remove, except run records."""
        return sum(r.footprint.n_bytes for r in self.removals) + sum(left.n_bytes for left in self.leftovers)


def plan_collection(store: Store, policy: Policy, *, now_s: float) -> Collection:
    """Determine what a policy would remove from a store now. Changes nothing.

    Args:
        store: any store.
        policy: what may be removed.
        now_s: Unix time.
    """
    runs = list(store.runs)
    active = [run for run in runs if run.state == "running" and store.runs.is_active(run.id)]
    forgotten = [run for run in runs if run not in active and _is_old(run, policy, now_s)]
    kept = [run for run in runs if run not in forgotten]
    unreadable = sorted(set(store.runs.ids()) - {run.id for run in runs})
    remarks: list[str] = []
    if unreadable:
        remarks.append(
            f"{len(unreadable)} unreadable run records ({', '.join(unreadable)}); the artifacts they use are unknown,"
            " so artifacts that no other run uses are kept. Delete those records to allow their removal"
        )
    if policy.keep_days is not None and (ahead := [run.id for run in kept if _is_ahead(begun_at_s(run), now_s)]):
        remarks.append(f"{len(ahead)} runs are kept because their dates are in the future ({', '.join(ahead)})")
    pins = store.pins()
    # Active runs may use any artifact used since the first of them began; a store may record uses an hour late.
    begin_s = min((_spared_since_s(run, now_s) for run in active), default=now_s)
    footprints = [_dated(footprint, active, now_s) for footprint in store.footprints()]
    orphans = [] if unreadable else _orphans(footprints, _keys(kept) | pins, min(now_s - policy.grace_s, begin_s))
    newer = _newer(store, (removal.footprint.key for removal in orphans))
    orphans = [removal for removal in orphans if removal.footprint.key not in newer]
    gone = {removal.footprint.key for removal in orphans}
    rest = [footprint for footprint in footprints if footprint.key not in gone]
    evicted: list[Removal] = []
    if policy.max_bytes is not None and sum(footprint.n_bytes for footprint in rest) > policy.max_bytes:
        newer |= _newer(store, (footprint.key for footprint in rest if footprint.key not in newer))
        evicted = _evictions(rest, policy.max_bytes, _keys(active) | pins | newer, begin_s)
        gone = {removal.footprint.key for removal in evicted}
        rest = [footprint for footprint in rest if footprint.key not in gone]
        over = sum(footprint.n_bytes for footprint in rest) - policy.max_bytes
        if over > 0:
            remarks.append(f"{over} bytes over the limit are kept: they are pinned, or an active run may use them")
    if newer:
        remarks.append(
            f"{len(newer)} artifacts are kept because a newer version of svdaudio wrote them:"
            f" {', '.join(sorted(newer))}"
        )
    return Collection(
        runs=tuple(run.id for run in forgotten),
        removals=(*orphans, *evicted),
        leftovers=tuple(left for left in store.leftovers() if _is_stale(left.changed_at_s, policy, now_s)),
        n_kept=len(rest),
        n_bytes_kept=sum(footprint.n_bytes for footprint in rest),
        remarks=tuple(remarks),
    )


def carry_out(store: Store, collection: Collection) -> Collection:
    """Remove what was planned, except what has been used since.

    Returns:
        What was removed.

    Raises:
        StoreError: the store cannot be written. If that is detected beforehand, nothing is changed; otherwise some
            removals have already been made.
    """
    if collection.runs or collection.removals or collection.leftovers:
        store.prepare()
    runs = tuple(run_id for run_id in collection.runs if store.runs.remove(run_id))
    removals = tuple(
        removal
        for removal in collection.removals
        if store.remove(removal.footprint.key, unless_used_after_s=removal.unless_used_after_s)
    )
    leftovers = tuple(leftover for leftover in collection.leftovers if store.clear(leftover))
    stayed = [removal.footprint for removal in collection.removals if removal not in removals]
    return Collection(
        runs=runs,
        removals=removals,
        leftovers=leftovers,
        n_kept=collection.n_kept + len(stayed),
        n_bytes_kept=collection.n_bytes_kept + sum(footprint.n_bytes for footprint in stayed),
        remarks=collection.remarks,
    )


def _is_ahead(time_s: float | None, now_s: float) -> bool:
    """Whether a time is in the future because the clock is or was wrong."""
    return time_s is not None and time_s > now_s + CLOCK_TOLERANCE_S


def _is_old(run: RunRecord, policy: Policy, now_s: float) -> bool:
    """Whether a run started too long ago. One without a start time, or with one in the future, is never too old."""
    begun_s = begun_at_s(run)
    return policy.keep_days is not None and begun_s is not None and begun_s < now_s - policy.keep_days * DAY_S


def _is_stale(changed_at_s: float, policy: Policy, now_s: float) -> bool:
    return changed_at_s <= now_s - policy.grace_s or _is_ahead(changed_at_s, now_s)


def _spared_since_s(run: RunRecord, now_s: float) -> float:
    """Unix time since which an active run may have used artifacts."""
    begun_s = begun_at_s(run)
    return 0.0 if begun_s is None else min(begun_s, now_s) - HOUR_S


def _dated(footprint: Footprint, active: Iterable[RunRecord], now_s: float) -> Footprint:
    """An artifact with a last use that is comparable with others.

    A last use in the future was recorded while the clock was wrong, so the artifact has not been used since the
    clock was corrected: it counts as the least recently used. If an active run has such a clock, it counts as used now.
    """
    if not _is_ahead(footprint.used_at_s, now_s):
        return footprint
    with_wrong_clock = any(_is_ahead(begun_at_s(run), now_s) for run in active)
    return replace(footprint, used_at_s=now_s if with_wrong_clock else 0.0)


def _newer(store: Store, keys: Iterable[str]) -> set[str]:
    """Those of the given artifacts that a newer version of svdaudio wrote."""
    wanted = list(keys)
    with ThreadPoolExecutor(store.n_readers, thread_name_prefix="svdaudio-gc") as pool:
        return {key for key, is_newer in zip(wanted, pool.map(store.is_newer, wanted), strict=True) if is_newer}


def _keys(runs: Iterable[RunRecord]) -> set[str]:
    return {entry.key for run in runs for entry in run.stages if entry.key is not None}


def _orphans(footprints: Iterable[Footprint], marked: set[str], before_s: float) -> list[Removal]:
    return [
        Removal(footprint=footprint, why="no run uses it", unless_used_after_s=before_s)
        for footprint in footprints
        if footprint.key not in marked and footprint.used_at_s <= before_s
    ]


def _evictions(footprints: list[Footprint], max_bytes: int, spared: set[str], before_s: float) -> list[Removal]:
    """The least recently used artifacts, until the rest fits."""
    n_bytes = sum(footprint.n_bytes for footprint in footprints)
    evicted: list[Removal] = []
    for footprint in sorted(footprints, key=lambda footprint: (footprint.used_at_s, footprint.key)):
        if n_bytes <= max_bytes:
            break
        if footprint.key not in spared and footprint.used_at_s <= before_s:
            evicted.append(
                Removal(footprint=footprint, why="least recently used", unless_used_after_s=footprint.used_at_s)
            )
            n_bytes -= footprint.n_bytes
    return evicted
