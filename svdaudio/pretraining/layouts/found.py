"""Finds the sounds and pictures in a folder by the stems of their names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from svdaudio.errors import InputError
from svdaudio.pretraining.items import DataSet, Item

SOUND_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf")
"""Suffixes of files that libsndfile reads; it reads neither videos nor .m4a."""
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


@dataclass(frozen=True, kw_only=True)
class Found:
    """The sounds and pictures in a folder, at any depth."""

    sounds: dict[str, Path] = field(default_factory=dict[str, Path])
    """Stem → file. Of several, the one nearest the top, then the first by path: downloaders that sort sounds by label
    keep a copy in the folder of each label (MorenoLaQuatra/audioset-download)."""
    pictures: dict[str, list[Path]] = field(default_factory=dict[str, list[Path]])
    """Stem → files, by path."""

    def sound(self, stems: Iterable[str]) -> Path | None:
        """The sound of the first stem that has one; None if there is none."""
        return next((self.sounds[stem] for stem in stems if stem in self.sounds), None)

    def picture(self, stem: str) -> Path | None:
        """The picture with a stem; of several, the middle one, as CAV-MAE takes frame 5 of `frame_0` to `frame_9`."""
        found = self.pictures.get(stem)
        return found[len(found) // 2] if found else None


def find_files(folder: Path) -> Found:
    """Find the sounds and pictures in a folder, without hidden files and folders.

    Raises:
        InputError: the folder or a subfolder cannot be read.
    """
    sounds: list[Path] = []
    pictures: list[Path] = []

    def refuse(error: OSError) -> None:
        raise InputError(f"the folder {error.filename} cannot be read", got=error.strerror) from error

    for parent, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            suffix = Path(name).suffix.lower()
            if name.startswith("."):
                continue
            if suffix in SOUND_SUFFIXES:
                sounds.append(Path(parent, name))
            elif suffix in PICTURE_SUFFIXES:
                pictures.append(Path(parent, name))
    found = Found()
    for path in sorted(sounds, key=lambda path: (len(path.parts), path)):
        found.sounds.setdefault(path.stem, path)
    for path in sorted(pictures):
        found.pictures.setdefault(path.stem, []).append(path)
    return found


def data_set(folder: Path, items: list[Item], classes: tuple[str, ...], missing: list[str]) -> DataSet:
    """The data set of the items found.

    Raises:
        InputError: no row of the tables has a file.
    """
    if not items:
        raise InputError(
            f"no row of the tables in {folder} has a file",
            got=f"{len(missing)} rows such as {missing[0]}",
            fix="put the sounds there; extract the sound of videos as WAV or FLAC",
        )
    return DataSet(items=tuple(items), classes=classes, missing=tuple(missing))
