"""Whether this process is a notebook's kernel. IPython is asked where it runs already, and is imported nowhere."""

from __future__ import annotations

import contextlib
import sys
import warnings
from importlib import import_module
from typing import Any


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel."""
    module = sys.modules.get("IPython")
    shell: Any = None if module is None else module.get_ipython()
    return getattr(shell, "kernel", None) is not None


def quiet_tqdm() -> None:
    """In a notebook without ipywidgets, import tqdm such that it does not warn about that.

    Libraries of the models import `tqdm.auto`, which then falls back to plain text, with a warning at its import.
    """
    if in_notebook():
        with warnings.catch_warnings(), contextlib.suppress(ImportError):
            warnings.simplefilter("ignore")
            import_module("tqdm.auto")
