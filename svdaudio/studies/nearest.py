"""The pictures of a folder that are nearest to a sound in CLIP's space.

Each picture is a small run of the method `see` without a record: its embedding is kept in the store and reused the next
time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.engine.journal import no_progress
from svdaudio.errors import InputError, SvdAudioError
from svdaudio.files import found_instead
from svdaudio.methods.see import METHOD, SEEN
from svdaudio.models.sound_clip.matching import cosines
from svdaudio.session import Session

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})
"""Files with other suffixes are not pictures, and are skipped."""


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """A picture and its similarity to the sound."""

    picture: Path
    cosine: float


@dataclass(frozen=True, kw_only=True)
class Found:
    """The result of a search."""

    nearest: tuple[Nearest, ...]
    """The nearest first."""
    unreadable: Mapping[Path, str]
    """Pictures that could not be read, and why."""
    n_pictures: int
    """Number of pictures that could be read."""
    n_computed: int
    """Number of those whose embedding was not in the store."""


def pictures_of(folder: Path) -> list[Path]:
    """The pictures in a folder and its subfolders, by their suffixes; hidden files are skipped.

    Raises:
        InputError: it is not a folder, or contains no pictures.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", expected="a folder of pictures", got=found_instead(folder))
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    found = [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not found:
        raise InputError(f"there are no pictures in {folder}", expected=f"files such as {', '.join(sorted(SUFFIXES))}")
    return found


def nearest_pictures(
    session: Session,
    embedding: Float[NDArray[np.float32], " dim"],
    pictures: list[Path],
    settings: Mapping[str, Any],
    *,
    n_nearest: int,
) -> Found:
    """The pictures that are nearest to a sound. Those that cannot be read are reported.

    Args:
        session: computes the embeddings, and keeps them in its store.
        embedding: of the sound, of unit length.
        pictures: files.
        settings: the bundle and execution settings of the sound's run.
        n_nearest: number of pictures to return.

    Raises:
        InputError: none of them can be read.
        CheckpointError: the bundle has no guide, or its space is not that of the sound.
    """
    seen: dict[Path, NDArray[np.float32]] = {}
    unreadable: dict[Path, str] = {}
    n_computed = 0
    for path in pictures:
        try:
            result = session.run(session.request(METHOD, [path], settings), progress=no_progress, record=False)
        except InputError as error:
            unreadable[path] = error.line()
            continue
        if result.run.state != "finished":
            raise SvdAudioError(f"the picture {path} could not be embedded", got=result.run.error)
        n_computed += any(entry.status == "computed" for entry in result.run.stages)
        seen[path] = session.arrays(result.run)[f"{SEEN}.see"]["embedding"][0]
    if not seen:
        first, reason = next(iter(unreadable.items()))
        raise InputError(f"none of the {len(pictures)} pictures can be read", got=f"{first.name}: {reason}")
    found = cosines(embedding, np.stack(list(seen.values())))
    order = np.argsort(-found, kind="stable")[:n_nearest]
    paths = list(seen)
    return Found(
        nearest=tuple(Nearest(picture=paths[place], cosine=float(found[place])) for place in order),
        unreadable=unreadable,
        n_pictures=len(seen),
        n_computed=n_computed,
    )
