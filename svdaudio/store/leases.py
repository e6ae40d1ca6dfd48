"""Leases: locks in an object store, which has no kernel to free them when a holder dies.

A lease is an object that says who holds a name and until when. It is taken by a conditional create or update, renewed
by a thread every third of its duration, and given back by a last update. A holder that dies stops renewing: once the
lease has run out, or has stood unchanged for its whole duration by the watcher's own clock, it may be taken. So a lease
can be lost, by a long pause or a network that is gone: work done under it must stay harmless, as it is here, where the
first record of an artifact wins.
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
from socket import gethostname

from svdaudio.errors import StoreError
from svdaudio.store.objects import Objects

log = logging.getLogger(__name__)

LEASE_S = 30.0
"""How long a lease stands without being renewed."""
CLOCK_SKEW_S = 5.0
"""How far apart the clocks of two machines may be."""
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


def is_held(objects: Objects, path: str) -> bool:
    """Whether somebody holds the lease at `path`, as far as the clocks of both machines agree."""
    stored = objects.get(path)
    return stored is not None and stands(stored.content)


def stands(text: bytes) -> bool:
    """Whether a lease of this text has not run out, nor been given back."""
    return time.time() < _number(text, "until")


def _take(objects: Objects, path: str, waiting: Callable[[], None], duration_s: float) -> str:
    watched = ""
    watched_since = 0.0
    pause_s = FIRST_PAUSE_S
    told = False
    while True:
        stored = objects.get(path)
        now = time.monotonic()
        if stored is None:
            tag = objects.create(path, _text(duration_s))
        else:
            if stored.tag != watched:
                watched, watched_since = stored.tag, now
            until = _number(stored.content, "until")
            left_s = until - time.time()
            ran_out = (
                left_s < -CLOCK_SKEW_S or now - watched_since > _number(stored.content, "duration_s") + CLOCK_SKEW_S
            )
            tag = objects.update(path, _text(duration_s), stored.tag) if until == 0 or ran_out else None
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


def _number(text: bytes, name: str) -> float:
    """A number of a lease; 0 where it is damaged, so that a damaged lease is a free one."""
    try:
        return float(json.loads(text)[name])
    except (ValueError, KeyError, TypeError):
        return 0.0
