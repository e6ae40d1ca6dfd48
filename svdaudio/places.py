"""Default locations: the checkout, its store, the output of runs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

STORE_FOLDER = "artifacts"
OUT_FOLDER = "out"


@cache
def project_root() -> Path:
    """The checkout that this package runs from, or else the current folder."""
    checkout = Path(__file__).resolve().parents[1]
    return checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()


def default_store() -> Path:
    """The default store: `artifacts` in the checkout."""
    return project_root() / STORE_FOLDER


def out_root(store: str) -> Path:
    """Folder for the sounds and pictures of runs: below the store if it is a folder, else below the default store.

    Args:
        store: location of the store.
    """
    return (default_store() if "://" in store else Path(store)) / OUT_FOLDER
