"""Detection of notebooks, without importing IPython: in a kernel, it is already imported."""

from __future__ import annotations

import contextlib
import sys
import warnings
from importlib import import_module
from typing import Any


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    module = sys.modules.get("IPython")
    shell: Any = None if module is None else module.get_ipython()
    return getattr(shell, "kernel", None) is not None


def quiet_tqdm() -> None:
    """In a notebook, import tqdm without its warning that ipywidgets are missing.

    Model libraries import `tqdm.auto`, which falls back to plain text without ipywidgets, and warns on import.
    """
    if in_notebook():
        with warnings.catch_warnings(), contextlib.suppress(ImportError):
            warnings.simplefilter("ignore")
            import_module("tqdm.auto")
