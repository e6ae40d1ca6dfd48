"""Find what a bundle lacks, and which published models would fill it, by names and sizes of files alone."""

from __future__ import annotations

from pathlib import Path

from svdaudio.checkpoints import registry
from svdaudio.checkpoints.bundle import FULL, Bundle
from svdaudio.checkpoints.install import partial_of, pinned_files, read_manifest
from svdaudio.checkpoints.registry import Published
from svdaudio.errors import CheckpointError


def recommended(folder: Path) -> list[Published]:
    """The recommended models of a bundle of published weights, except those whose roles are all filled by others.

    Raises:
        CheckpointError: the bundle's description is damaged.
    """
    models = read_manifest(folder)["models"]

    def others_fill(published: Published) -> bool:
        return all(models.get(role, {}).get("published") not in (None, published.name) for role in published.roles)

    return [one for one in registry.registry() if one.recommended and not others_fill(one)]


def models_to_fetch(folder: Path) -> list[Published]:
    """Published models with files that a bundle lacks, each with the roles that it fills there.

    These are models that the description names, and the recommended ones for the bundle `full`.

    Raises:
        CheckpointError: the bundle's description is damaged.
    """
    models = read_manifest(folder)["models"]
    usual = {one.name for one in recommended(folder)} if folder.name == FULL else set[str]()
    found: list[Published] = []
    for published in registry.registry():
        filled = tuple(role for role, model in models.items() if model.get("published") == published.name)
        new = published.name in usual and any(role not in models for role in published.roles)
        if not filled and not new:
            continue
        if new or not all((folder / published.place(file)).is_file() for file in published.files):
            roles = published.roles if new else filled
            found.append(published.model_copy(update={"roles": roles}))
    return found


def needs_trust(published: Published, folder: Path) -> bool:
    """Whether a file of a model has neither a published digest nor one that is pinned in the bundle."""
    pinned = pinned_files(folder)
    return any(file.sha256 is None and published.place(file) not in pinned for file in published.files)


def bytes_here(published: Published, folder: Path) -> int:
    """Bytes of a model that are in a bundle's folder, in complete files and partial downloads."""
    paths = [folder / published.place(file) for file in published.files]
    sizes = [one.stat().st_size for path in paths for one in (path, partial_of(path)) if one.is_file()]
    return sum(sizes)


def bytes_begun(published: Published, folder: Path) -> int:
    """Bytes in partial downloads of a model."""
    partial = [partial_of(folder / published.place(file)) for file in published.files]
    return sum(path.stat().st_size for path in partial if path.is_file())


def faults(bundle: Bundle) -> dict[str, str]:
    """Role → error and fix, for each role with a file that is missing or has the wrong size.

    A file of the right size with wrong bytes is detected when its model is loaded.
    """
    found: dict[str, str] = {}
    for role in bundle.roles:
        parts = bundle.entry(role).parts
        if all(part.path.is_file() and part.path.stat().st_size == part.n_bytes for part in parts):
            continue
        try:
            bundle.check(role)
        except CheckpointError as error:
            found[role] = error.line()
    return found
