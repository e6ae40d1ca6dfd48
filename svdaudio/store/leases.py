"""Leases: locks in an object store, which has no kernel to free them when a holder dies.

A lease is an object that says who holds a name and until when. It is taken by a conditional create or update, renewed
by a thread every third of its duration, and given back by a last update. A holder that dies stops renewing: once the
lease has not been renewed for its whole duration, and `CLOCK_SKEW_S` more, it may be taken. That is judged by the
times that the server gives to objects, or by how long the watcher has seen the lease unchanged. So neither the holder's
clock nor the watcher's has to be right. A lease can be lost, by a long pause or a network that is gone: work done under
it must stay harmless, as it is here, where the first record of an artifact wins.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from socket import gethostname

from svdaudio.errors import StoreError
from svdaudio.store import fields as of
from svdaudio.store.objects import MisreadError, Objects, Stored

log = logging.getLogger(__name__)

LEASE_S = 30.0
"""How long a lease stands without being renewed."""
LONGEST_LEASE_S = 3600.0
"""A lease with a longer duration is damaged."""
CLOCK_SKEW_S = 5.0
"""How much longer a lease stands than it says: times of objects are in whole seconds, and servers have many clocks."""
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
N_RENEWALS = 3


@contextmanager
def lease(objects: Objects, path: str, waiting: Callable[[], None], *, duration_s: float = LEASE_S) -> Generator[None]:
    """Hold the lease at `path`.

    Args:
        objects: where.
        path: of the lease's object.
        waiting: called once if someone else holds it.
        duration_s: how long it stands without being renewed.

    Raises:
        StoreError: the store cannot be reached, or not written.
    """
    tag = _take(objects, path, waiting, duration_s)
    keeper = _Keeper(objects, path, tag, duration_s)
    keeper.start()
    try:
        yield
    finally:
        keeper.give_back()


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a lease says."""

    duration_s: float
    """How long it stands since it was written; 0 if it was given back."""

    def stands(self, written_at: datetime, now_s: float) -> bool:
        """Whether the lease is held: it was neither given back, nor has it run out.

        Args:
            written_at: when it was last written, by the server's clock.
            now_s: Unix time by the server's clock.
        """
        return self.duration_s > 0 and now_s - written_at.timestamp() <= self.duration_s + CLOCK_SKEW_S


FREE = Terms(duration_s=0.0)
"""Of a lease that was given back, or that is damaged."""


def read_terms(text: bytes) -> Terms:
    """What the text of a lease says.

    Raises:
        ValueError: it is damaged, or would never run out.
    """
    try:
        fields = of.mapping(json.loads(text))
        until, duration_s = of.number(fields["until"]), of.number(fields["duration_s"])
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"the lease is damaged ({error})") from error
    if until == 0:
        return FREE
    if not 0 < duration_s <= LONGEST_LEASE_S:
        raise ValueError(f"the lease is damaged: its duration is {duration_s} s")
    return Terms(duration_s=duration_s)


def read_lease(objects: Objects, path: str) -> tuple[Stored, Terms] | None:
    """The lease at `path`, if there is one."""
    try:
        return objects.read(path, read_terms)
    except MisreadError as error:
        return error.stored, FREE


def is_held(objects: Objects, path: str) -> bool:
    """Whether somebody holds the lease at `path`. One whose holder died counts until it has run out."""
    found = read_lease(objects, path)
    if found is None or found[1] == FREE:
        return False
    stored, terms = found
    return terms.stands(stored.modified_at, objects.now_s())


def _take(objects: Objects, path: str, waiting: Callable[[], None], duration_s: float) -> str:
    watched = ""
    watched_since = 0.0
    pause_s = FIRST_PAUSE_S
    told = False
    while True:
        found = read_lease(objects, path)
        now = time.monotonic()
        if found is None:
            tag = objects.create(path, _text(duration_s))
        else:
            stored, terms = found
            if stored.tag != watched:
                watched, watched_since = stored.tag, now
            unchanged = now - watched_since > terms.duration_s + CLOCK_SKEW_S
            free = terms == FREE or unchanged or not terms.stands(stored.modified_at, objects.now_s())
            tag = objects.update(path, _text(duration_s), stored.tag) if free else None
        if tag is not None:
            return tag
        if not told:
            told = True
            waiting()
        time.sleep(pause_s)
        pause_s = min(LONGEST_PAUSE_S, 1.5 * pause_s)


class _Keeper(threading.Thread):
    """Renews a lease until it is given back, or lost."""

    def __init__(self, objects: Objects, path: str, tag: str, duration_s: float) -> None:
        super().__init__(name=f"lease {path[-12:]}", daemon=True)
        self._objects = objects
        self._path = path
        self._tag: str | None = tag
        self._duration_s = duration_s
        self._over = threading.Event()

    def run(self) -> None:
        """Renew until it is over."""
        while not self._over.wait(self._duration_s / N_RENEWALS):
            try:
                tag = self._objects.update(self._path, _text(self._duration_s), self._tag or "")
            except StoreError as error:
                log.warning("a lease could not be renewed, and will be tried again: %s", error)
                continue
            self._tag = tag
            if tag is None:
                log.warning("a lease was lost to another process: some work may be done twice")
                return

    def give_back(self) -> None:
        """Let others have it. If the store cannot be told, the lease runs out by itself."""
        self._over.set()
        self.join()
        if self._tag is None:
            return
        try:
            self._objects.update(self._path, _text(0), self._tag)
        except StoreError as error:
            log.warning("a lease could not be given back, and will run out by itself: %s", error)


def _text(duration_s: float) -> bytes:
    """A lease of this duration from now on; 0: a free one. No two are the same."""
    fields = {
        "until": time.time() + duration_s if duration_s else 0,
        "duration_s": duration_s,
        "host": gethostname(),
        "pid": os.getpid(),
        "token": secrets.token_hex(16),
    }
    return json.dumps(fields).encode()
