"""Leases: locks in an object store, which has no kernel to free them when a holder dies.

A lease is an object that records who holds a name and until when. It is taken by a conditional create or update,
renewed by a thread every third of its duration, and released by a final update. A holder that dies stops renewing: once
the lease has not been renewed for its whole duration plus `CLOCK_SKEW_S`, it may be taken. That is judged by the
server's timestamps of objects, or by how long the waiting process has seen the lease unchanged. So neither the holder's
clock nor the waiter's has to be right. A lease can be lost through a long pause or a network failure, so work done
under it must be safe to do twice; here it is, because the first record of an artifact wins.
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
"""How long a lease is valid without being renewed."""
LONGEST_LEASE_S = 3600.0
"""A lease with a longer duration counts as damaged."""
CLOCK_SKEW_S = 5.0
"""Extra time before a lease counts as expired: object times are whole seconds, and servers have several clocks."""
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
N_RENEWALS = 3


@contextmanager
def lease(objects: Objects, path: str, waiting: Callable[[], None], *, duration_s: float = LEASE_S) -> Generator[None]:
    """Hold the lease at `path`.

    Args:
        objects: the bucket.
        path: path of the lease's object.
        waiting: called once if another process or thread holds the lease.
        duration_s: how long the lease is valid without being renewed.

    Raises:
        StoreError: the store cannot be reached or written.
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
    """Content of a lease."""

    duration_s: float
    """How long it is valid after it was written; 0 if it was released."""

    def stands(self, written_at: datetime, now_s: float) -> bool:
        """Whether the lease is held: neither released nor expired.

        Args:
            written_at: when it was last written, by the server's clock.
            now_s: Unix time by the server's clock.
        """
        return self.duration_s > 0 and now_s - written_at.timestamp() <= self.duration_s + CLOCK_SKEW_S


FREE = Terms(duration_s=0.0)
"""Terms of a lease that was released or is damaged."""


def read_terms(text: bytes) -> Terms:
    """Parse the text of a lease.

    Raises:
        ValueError: it is damaged, or would never expire.
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
    """The lease at `path`, or None."""
    try:
        return objects.read(path, read_terms)
    except MisreadError as error:
        return error.stored, FREE


def is_held(objects: Objects, path: str) -> bool:
    """Whether the lease at `path` is held. A dead holder's lease counts as held until it expires."""
    found = read_lease(objects, path)
    if found is None or found[1] == FREE:
        return False
    stored, terms = found
    return terms.stands(stored.modified_at, objects.now_s())


def _take(objects: Objects, path: str, waiting: Callable[[], None], duration_s: float) -> str:
    watched = ""
    watched_since = 0.0
    pause_s = FIRST_PAUSE_S
    notified = False
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
        if not notified:
            notified = True
            waiting()
        time.sleep(pause_s)
        pause_s = min(LONGEST_PAUSE_S, 1.5 * pause_s)


class _Keeper(threading.Thread):
    """Renews a lease until it is released or lost."""

    def __init__(self, objects: Objects, path: str, tag: str, duration_s: float) -> None:
        super().__init__(name=f"lease {path[-12:]}", daemon=True)
        self._objects = objects
        self._path = path
        self._tag: str | None = tag
        self._duration_s = duration_s
        self._over = threading.Event()

    def run(self) -> None:
        """Renew until the lease is released or lost."""
        while not self._over.wait(self._duration_s / N_RENEWALS):
            try:
                tag = self._objects.update(self._path, _text(self._duration_s), self._tag or "")
            except StoreError as error:
                log.warning("a lease could not be renewed; trying again: %s", error)
                continue
            self._tag = tag
            if tag is None:
                log.warning("a lease was lost to another process; some work may be done twice")
                return

    def give_back(self) -> None:
        """Release the lease. If the store cannot be reached, the lease expires by itself."""
        self._over.set()
        self.join()
        if self._tag is None:
            return
        try:
            self._objects.update(self._path, _text(0), self._tag)
        except StoreError as error:
            log.warning("a lease could not be released and will expire by itself: %s", error)


def _text(duration_s: float) -> bytes:
    """Text of a lease of this duration, starting now; 0: a free one. Every text is unique."""
    fields = {
        "until": time.time() + duration_s if duration_s else 0,
        "duration_s": duration_s,
        "host": gethostname(),
        "pid": os.getpid(),
        "token": secrets.token_hex(16),
    }
    return json.dumps(fields).encode()
