"""Turns Ctrl-C and SIGTERM into a request that a training checks between steps, when its state can be saved."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

SECOND_AFTER_S = 2.0
"""A signal this long after the first interrupts at once; terminals and launchers may both send the first."""


class StopRequest:
    """Whether the training should stop."""

    def __init__(self) -> None:
        self.is_set = False
        self._since = 0.0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal.

        Raises:
            KeyboardInterrupt: it is the second signal.
        """
        del number, frame
        if self.is_set and time.monotonic() - self._since > SECOND_AFTER_S:
            raise KeyboardInterrupt
        if not self.is_set:
            self.is_set, self._since = True, time.monotonic()


@contextmanager
def stop_request() -> Generator[StopRequest]:
    """Handle SIGINT and SIGTERM as a request. Outside the main thread, signals are not handled."""
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
