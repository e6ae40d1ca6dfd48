"""Locations of weights, scenes and stores: in a checkout of the repository, and in an installed wheel.

A checkout has its weights, example scenes, store and trainings in its own folders. A wheel contains the mini weights
and the scenes as package data; published weights are in a folder of the user, stores and trainings in the current
folder.
"""

from __future__ import annotations

import os
from pathlib import Path

STORE_FOLDER = "artifacts"
OUT_FOLDER = "out"
CHECKPOINTS_FOLDER = "checkpoints"
ENVIRONMENT_CHECKPOINTS = "SVDAUDIO_CHECKPOINTS"
PRETRAINED_BUNDLE = "mini-pretrained"
"""The bundle that comes with svdaudio and has the models of image-audio pretraining."""

_PACKAGE = Path(__file__).resolve().parent
_PACKAGE_DATA = _PACKAGE / "data"
"""Created when a wheel is built; a checkout does not have it."""


def checkout() -> Path | None:
    """The checkout that this package runs from; None if it was installed from a wheel."""
    return None if _PACKAGE_DATA.is_dir() else _PACKAGE.parent


def project_root() -> Path:
    """Where stores and trainings go: the checkout; without one, the current folder."""
    return checkout() or Path.cwd()


def examples_folder() -> Path:
    """The example scenes, and the farm that the mini bundle is trained and evaluated on."""
    return (checkout() or _PACKAGE_DATA) / "examples"


def checkpoints_folder() -> Path:
    """Where bundles are written: SVDAUDIO_CHECKPOINTS, else `checkpoints` of the checkout, else a folder of the user.

    That is `$XDG_DATA_HOME/svdaudio/checkpoints` (`~/.local/share/svdaudio/checkpoints`).
    """
    chosen = os.environ.get(ENVIRONMENT_CHECKPOINTS)
    if chosen:
        return Path(chosen).expanduser().absolute()
    root = checkout()
    if root is not None:
        return root / CHECKPOINTS_FOLDER
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "svdaudio" / CHECKPOINTS_FOLDER


def pretrained_folder(mini: Path) -> Path:
    """The folder of the bundle for image-audio pretraining, next to that of the mini bundle, its base."""
    return mini.with_name(f"{mini.name}-pretrained")


def checkpoints_roots() -> tuple[Path, ...]:
    """Folders of bundles, in order of precedence: `checkpoints_folder()`, then the one that comes with svdaudio."""
    return tuple(dict.fromkeys((checkpoints_folder(), (checkout() or _PACKAGE_DATA) / CHECKPOINTS_FOLDER)))


def default_store() -> Path:
    """The store unless one is given: `artifacts` of the checkout; without one, of the current folder."""
    return project_root() / STORE_FOLDER


def out_root(store: str) -> Path:
    """Folder for the sounds and pictures of runs: below the store if it is a folder, else below the default store.

    Args:
        store: location of the store.
    """
    return (default_store() if "://" in store else Path(store)) / OUT_FOLDER


def restore_advice() -> str:
    """How to restore a file that comes with svdaudio."""
    return "restore it with `git checkout`" if checkout() else "reinstall svdaudio"


def install_advice(extra: str | None = None) -> str:
    """How to install what is missing.

    Args:
        extra: the extra that it belongs to; None for a dependency of svdaudio itself.
    """
    if checkout():
        return f"run `uv sync --extra {extra}`" if extra else "run `uv sync`"
    return f"run `pip install 'svdaudio[{extra}]'`" if extra else "reinstall svdaudio"
