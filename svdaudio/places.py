"""Where things are: the checkout, its store, its scenes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

STORE_FOLDER = "artifacts"
OUT_FOLDER = "out"


@cache
def project_root() -> Path:
    """The checkout that this package runs from; where there is none, the current folder."""
    checkout = Path(__file__).resolve().parents[1]
    return checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()


def default_store() -> Path:
    """The store unless one is given: `artifacts` of the checkout."""
    return project_root() / STORE_FOLDER


def out_root(store: str) -> Path:
    """Where the sounds and pictures of runs go: below the store if it is a folder, else below the default store.

    Args:
        store: the store's location.
    """
    return (default_store() if "://" in store else Path(store)) / OUT_FOLDER
