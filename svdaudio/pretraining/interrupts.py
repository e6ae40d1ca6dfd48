"""Ctrl-C and SIGTERM as a request that a training sees between two steps, when its state can be saved."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

SECOND_AFTER_S = 2.0
"""A signal this long after the first one interrupts at once. Terminals and launchers may both send the first one."""


class StopRequest:
    """Whether the training is to stop."""

    def __init__(self) -> None:
        self.is_set = False
        self._since = 0.0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Receive a signal.

        Raises:
            KeyboardInterrupt: it is the second one.
        """
        del number, frame
        if self.is_set and time.monotonic() - self._since > SECOND_AFTER_S:
            raise KeyboardInterrupt
        if not self.is_set:
            self.is_set, self._since = True, time.monotonic()


@contextmanager
def stop_request() -> Generator[StopRequest]:
    """Receive SIGINT and SIGTERM as a request; in other threads than the main one none ever comes."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    numbers = (signal.SIGTERM,) if ignored else (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, request) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
