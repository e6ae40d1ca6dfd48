"""Import other packages without their side effects on the process.

Some set environment variables that child processes inherit, add warning filters, change how numpy and torch print or
how many threads OpenCV uses, or give the root logger a handler. All of that belongs to the program that uses this
library, so it is restored after each of these imports.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from typing import Any

_LOCK = threading.RLock()


@contextmanager
def kept_process_state() -> Generator[None]:
    """Restore environment, warning filters, print options, OpenCV's threads and the root logger at the end.

    For numpy, torch and OpenCV that is only possible if they were imported before. Modules imported in the block must
    not import this library: only one thread at a time may be in the block, and the import could deadlock.
    """
    with _LOCK, ExitStack() as stack:
        stack.callback(_restore_environment, dict(os.environ))
        stack.enter_context(warnings.catch_warnings())
        stack.callback(_restore_logging, list(logging.root.handlers), logging.root.level, logging.root.manager.disable)
        for module, keep in (("numpy", _keep_numpy), ("torch", _keep_torch), ("cv2", _keep_opencv)):
            if module in sys.modules:
                stack.callback(keep())
        yield


def import_quietly(name: str) -> Any:
    """Import a module, in `kept_process_state` if it has not been imported before."""
    if name in sys.modules:
        return sys.modules[name]
    with kept_process_state():
        return import_module(name)


def _restore_environment(before: dict[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    for name, value in before.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _restore_logging(handlers: list[logging.Handler], level: int, disabled: int) -> None:
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    logging.disable(disabled)


def _keep_numpy() -> Callable[[], None]:
    import numpy as np

    before: Any = np.get_printoptions()
    return partial(np.set_printoptions, **before)


def _keep_torch() -> Callable[[], None]:
    options: Any = import_module("torch._tensor_str").PRINT_OPTS  # which torch.set_printoptions changes
    before = dict(vars(options))
    return partial(vars(options).update, before)


def _keep_opencv() -> Callable[[], None]:
    import cv2

    return partial(cv2.setNumThreads, cv2.getNumThreads())
