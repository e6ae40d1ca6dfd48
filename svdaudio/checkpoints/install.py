"""Install published weights into the bundle `full`, by download or from files on disk.

A file gets its final name only after its size, digest and kind have been checked. The bundle's description is updated
as roles are filled, with the digest of every file: from then on the file is pinned.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svdaudio.checkpoints import registry
from svdaudio.checkpoints.bundle import FULL, bundle_folder
from svdaudio.checkpoints.description import MANIFEST, read_description
from svdaudio.checkpoints.download import CHUNK, Patience, Stopping, check_space, disk_error, download, never_stop
from svdaudio.checkpoints.recognise import recognise, recognise_format
from svdaudio.checkpoints.registry import Published, PublishedFile
from svdaudio.errors import CheckpointError, InputError
from svdaudio.files import found_instead, read_text, write_bytes
from svdaudio.places import checkpoints_folder, checkpoints_roots
from svdaudio.store.locks import file_lock
from svdaudio.weights.digests import (
    FileState,
    file_state,
    hash_unchanged,
    joint_digest,
    known_digest,
    remember_digest,
)

TITLE = "the published models"

OnProgress = Callable[[str, int, int | None], None]
"""Called with the name of the file, the number of bytes received, and the total if it is known."""


@dataclass(frozen=True, kw_only=True)
class Installed:
    """Result of installing one published model."""

    published: Published
    files: tuple[Path, ...]
    n_fetched: int
    """Files that were not installed before."""
    newly_pinned: tuple[str, ...]
    """Files without a published digest, or of another version: the installed one is now pinned."""
    differing: tuple[str, ...] = ()
    """Those of them whose digest differs from a published one."""


def full_folder() -> Path:
    """Folder of the bundle of published weights."""
    return checkpoints_folder() / FULL


def folder_of(name: str) -> Path:
    """The folder of a bundle, into which its files are installed."""
    return full_folder() if name == FULL else bundle_folder(name, checkpoints_roots())


def fetch(
    published: Published,
    folder: Path,
    *,
    trust: bool = False,
    on_progress: OnProgress | None = None,
    patience: Patience | None = None,
    stopping: Stopping = never_stop,
) -> Installed:
    """Download the missing files of a published model, and fill its roles.

    Args:
        published: the model.
        folder: the bundle's folder.
        trust: accept files without a published digest, and pin them.
        on_progress: called with the progress of each file.
        patience: limits on retries.
        stopping: called between chunks of a file; true ends the download, and a later one resumes it.

    Raises:
        CheckpointError: a file cannot be downloaded, differs from the published one, or needs `trust`.
        StoppedError: `stopping` returned true.
    """
    with _working_on(folder, published.name):
        pinned = pinned_files(folder)
        n_fetched, digests = 0, dict[str, str]()
        for file in published.files:
            place = published.place(file)
            path, wanted = _place_in(folder, place), file.sha256 or pinned.get(place)
            if path.is_file() and wanted is not None and known_digest(path) == wanted:
                digests[place] = wanted
                continue
            if path.is_file():
                raise CheckpointError(
                    f"{path} is not the published {file.name}",
                    expected=f"sha256 {wanted[:12]}…" if wanted else "a file that was imported",
                    got=f"{known_digest(path)[:12]}… ({path.stat().st_size} bytes)",
                    fix="delete it and run the same command again",
                )
            _require_address(published, file)
            if wanted is None and not trust:
                raise _untrusted(published, file, f"svdaudio checkpoints fetch {published.name}")
            _make_folder(path.parent)
            partial = partial_of(path)
            digest = download(
                file.urls,
                partial,
                sha256=wanted,
                n_bytes=file.bytes,
                on_progress=_named(on_progress, place),
                patience=patience,
                stopping=stopping,
            )
            _check_kind(published, file, partial, known=digest == file.sha256)
            _finish(partial, path, digest, file_state(partial))
            digests[place] = digest
            n_fetched += 1
        return _fill(published, folder, digests, pinned, n_fetched)


def take(
    path: Path,
    folder: Path,
    *,
    name: str | None = None,
    role: str | None = None,
    trust: bool = False,
    on_progress: OnProgress | None = None,
) -> Installed:
    """Import a published model from disk: a file with its companion files next to it, or a folder.

    Files are hard-linked where the file system allows it, else copied.

    Args:
        path: the file or folder.
        folder: the bundle's folder.
        name: which published model it is; recognised by its content by default.
        role: role to fill, instead of its usual ones.
        trust: accept files whose digest is not published or differs from the published one, and pin them.
        on_progress: called with the progress of each file.

    Raises:
        InputError: `path` does not exist, no published model has that name, or it cannot fill the role.
        CheckpointError: the files are not a published model, differ from the published ones, or need `trust`.
    """
    path = _given(path)
    own = None if path.is_dir() else hash_unchanged(path)
    published = registry.find(name) if name is not None else recognise(path, own.sha256 if own else None)
    published = published.filling(role)
    found = _beside(published, path)
    _make_folder(folder)
    with _working_on(folder, published.name):
        pinned = pinned_files(folder)
        digests: dict[str, str] = {}
        states: dict[str, FileState] = {}
        for file, source in found:
            place = published.place(file)
            hashed = own if source == path and own is not None else hash_unchanged(source)
            digests[place], states[place] = hashed.sha256, hashed.state
            _check_source(published, file, source, hashed.sha256, trust=trust)
        for file, source in found:
            place = published.place(file)
            _place(source, _place_in(folder, place), digests[place], states[place], _named(on_progress, place))
        return _fill(published, folder, digests, pinned, len(found))


def _given(path: Path) -> Path:
    """The given file or folder, with links resolved.

    Raises:
        InputError: it does not exist, or is a device or a pipe, which could block.
    """
    try:
        if not path.exists():
            raise InputError(f"file not found: {path}", fix="pass a file or folder that you have downloaded")
        if not path.is_dir() and (another := found_instead(path)) is not None:
            raise InputError(f"{path} cannot be imported", expected="a file or a folder", got=another)
        if not os.access(path, os.R_OK):
            raise InputError(f"{path} cannot be read", fix="check its permissions")
        return path.resolve()
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{str(path)[:200]} cannot be imported", got=reason) from error


def _beside(published: Published, path: Path) -> list[tuple[PublishedFile, Path]]:
    """Every file of a published model, found from one of them or their folder."""
    if published.folder is None and len(published.files) == 1 and not path.is_dir():
        return [(published.files[0], path)]
    if published.folder is not None and not path.is_dir():
        raise CheckpointError(
            f"{path} is a part of {published.name}", expected="the folder that holds all of it", got="a file"
        )
    start = path if path.is_dir() else path.parent
    found = [(file, start / file.name) for file in published.files]
    if published.folder is None and not path.is_dir() and path.suffix == Path(published.files[0].name).suffix:
        # If the main file was renamed, its companions must have the same new name.
        found = [(file, path.with_suffix(Path(file.name).suffix)) for file in published.files]
    for file, source in found:
        if not source.is_file():
            raise CheckpointError(
                f"{published.name} is incomplete", expected=source, got="no such file", fix=f"put {file.name} there"
            )
    return found


def _check_source(published: Published, file: PublishedFile, source: Path, digest: str, *, trust: bool) -> None:
    if digest == file.sha256:
        return
    n_bytes = source.stat().st_size
    if file.sha256 is not None and not trust:
        got = f"{digest[:12]}… ({n_bytes} bytes)"
        if file.bytes is not None and n_bytes < file.bytes:
            got += ", which is too short"
        raise CheckpointError(
            f"{source} is not the published {file.name}",
            expected=f"sha256 {file.sha256[:12]}… ({file.bytes} bytes)",
            got=got,
            fix="download it again, or accept it with --trust",
        )
    if not trust:
        raise _untrusted(published, file, "the same command")
    _check_kind(published, file, source, known=False)


def _check_kind(published: Published, file: PublishedFile, path: Path, *, known: bool) -> None:
    """Check that a file without a published digest at least has the expected format."""
    if known or published.folder is not None:
        return
    # The path of a partial download has no meaningful suffix.
    if Path(file.name).suffix == ".json":
        try:
            right = isinstance(json.loads(path.read_bytes()), dict)
        except (ValueError, RecursionError):
            right = False
    else:
        right = recognise_format(path) == published.format
    if not right:
        raise CheckpointError(
            f"{path} is not a valid {file.name}",
            expected=f"the format {published.format}",
            got=f"a file of another kind ({path.stat().st_size} bytes)",
            fix=f"see {published.page}",
        )


def _untrusted(published: Published, file: PublishedFile, command: str) -> CheckpointError:
    return CheckpointError(
        f"the sha256 of {file.name} is not published",
        expected="your confirmation that it is the right file",
        fix=f"check {published.page}, and run {_quoted(command)} with --trust: the file is then pinned",
    )


def _quoted(command: str) -> str:
    return f"`{command}`" if command.startswith("svdaudio") else command


def _require_address(published: Published, file: PublishedFile) -> None:
    if not file.urls:
        raise CheckpointError(f"{file.name} cannot be downloaded automatically", fix=advice_by_hand(published))


def advice_by_hand(published: Published) -> str:
    """How to install a model that cannot be downloaded automatically."""
    names = " and ".join(file.name for file in published.files)
    return (
        f"download {names} from {published.page} with a browser, then run "
        f"`svdaudio checkpoints import {published.files[0].name} --trust`"
    )


def _place_in(folder: Path, place: str) -> Path:
    """Destination of a file.

    Raises:
        CheckpointError: a symbolic link on the way leads out of the folder.
    """
    path = folder / place
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise CheckpointError(f"{path.parent} is a link that leads out of the bundle's folder", fix="remove it")
    return path


def _place(
    source: Path, path: Path, digest: str, state: FileState, on_progress: Callable[[int, int | None], None]
) -> None:
    """Link or copy a file that has been checked to its final name.

    Args:
        source: the file.
        path: its final name.
        digest: its sha256.
        state: state of the file when it was hashed.
        on_progress: called with the progress of each file.
    """
    if path.is_file() and known_digest(path) == digest:
        return
    _make_folder(path.parent)
    partial = partial_of(path)
    try:
        partial.unlink(missing_ok=True)
        try:
            os.link(source, partial)
        except OSError:
            _copy(source, partial, digest, on_progress)
            state = file_state(partial)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise disk_error(path, error) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _finish(partial, path, digest, state)


def _copy(source: Path, partial: Path, digest: str, on_progress: Callable[[int, int | None], None]) -> None:
    n_bytes, n_done, hashed = source.stat().st_size, 0, hashlib.sha256()
    check_space(partial.parent, n_bytes)
    with source.open("rb") as original, partial.open("wb") as copy:
        while data := original.read(CHUNK):
            copy.write(data)
            hashed.update(data)
            n_done += len(data)
            on_progress(n_done, n_bytes)
        copy.flush()
        os.fsync(copy.fileno())
    if hashed.hexdigest() != digest:
        raise CheckpointError(f"{source} changed while it was copied", fix="run the same command again")


def _finish(partial: Path, path: Path, digest: str, state: FileState) -> None:
    try:
        partial.replace(path)
    except OSError as error:
        raise disk_error(path, error) from error
    remember_digest(path, digest, state)


def _fill(
    published: Published, folder: Path, digests: Mapping[str, str], pinned: Mapping[str, str], n_fetched: int
) -> Installed:
    """Add a published model to the bundle's description, replacing what filled its roles before."""
    parts: list[dict[str, Any]] = [
        {"file": place, "sha256": digest, "bytes": (folder / place).stat().st_size} for place, digest in digests.items()
    ]
    entry: dict[str, Any] = {
        "format": published.format,
        "sha256": joint_digest(digests.items()),
        "bytes": sum(part["bytes"] for part in parts),
        "published": published.name,
    }
    models: dict[str, Any] = {}
    for role in published.roles:
        models[role] = {**entry, "file": published.loads_from}
        if len(parts) > 1 or published.folder is not None:
            models[role]["parts"] = parts
        classes = _classes(published, role, folder / published.loads_from)
        if classes:
            models[role]["classes"] = list(classes)
    manifest = read_manifest(folder)
    manifest["models"] = {**manifest["models"], **models}
    manifest["settings"] = _settings(manifest)
    write_bytes(folder / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode(), through_link=False)
    unknown = {place: file for file in published.files if digests[place := published.place(file)] != file.sha256}
    new = {place: file for place, file in unknown.items() if pinned.get(place) != digests[place]}
    return Installed(
        published=published,
        files=tuple(folder / place for place in digests),
        n_fetched=n_fetched,
        newly_pinned=tuple(new),
        differing=tuple(place for place, file in new.items() if file.sha256 is not None),
    )


def _settings(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The bundle's settings, with those of the published models that fill its roles now."""
    of_models = {name for published in registry.registry() for name in published.settings}
    kept = {name: value for name, value in manifest["settings"].items() if name not in of_models}
    filling = {model.get("published") for model in manifest["models"].values()}
    for published in registry.registry():
        if published.name in filling:
            kept |= published.settings
    return kept


def _classes(published: Published, role: str, path: Path) -> Sequence[str]:
    """Class names of a detector or tagger, by index."""
    if published.format == "ultralytics":
        from svdaudio.models.yolo.published import read_detector

        return read_detector(path).facts["names"]
    if published.format == "panns-cnn14":
        from svdaudio.models.taggers.audioset import audioset_names, score_names

        return score_names(audioset_names())
    if published.format == "transformers-ast":
        from svdaudio.models.taggers.spectrogram_transformer import read_classes

        return read_classes(path)
    del role
    return ()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The bundle's description, possibly still incomplete.

    Raises:
        CheckpointError: it is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return {"title": TITLE, "settings": {}, "models": {}}
    try:
        read_description(path, fix="delete it, and repeat `fetch` or `import`")
        return json.loads(read_text(path))
    except OSError as error:
        raise CheckpointError(f"the description {path} cannot be read", got=error.strerror or str(error)) from error


def pinned_files(folder: Path) -> dict[str, str]:
    """File → digest, from the bundle's description.

    Raises:
        CheckpointError: it is damaged.
    """
    pinned: dict[str, str] = {}
    for model in read_manifest(folder)["models"].values():
        for part in model.get("parts", [model]):
            pinned[part["file"]] = part["sha256"]
    return pinned


def partial_of(path: Path) -> Path:
    """Path of a file until it is complete and checked."""
    return path.with_name(f".{path.name}.partial")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(folder, error) from error


def _named(on_progress: OnProgress | None, place: str) -> Callable[[int, int | None], None]:
    def named(n_done: int, n_total: int | None) -> None:
        if on_progress is not None:
            on_progress(place, n_done, n_total)

    return named


@contextmanager
def _working_on(folder: Path, name: str) -> Generator[None]:
    """Allow one process at a time: two would write into the same partial file."""

    def busy() -> None:
        raise CheckpointError(
            f"another process is fetching or importing into {folder}", fix=f"wait for it, then install {name}"
        )

    _make_folder(folder)
    with file_lock(folder / ".lock", busy):
        yield
