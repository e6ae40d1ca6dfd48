"""The users of the studio: each browser has its own pictures and jobs. Uploads are deleted when the studio ends."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from svdaudio.errors import InputError
from svdaudio.studies.scenes import Scene
from svdaudio.svd.image_files import upright_size
from svdaudio.svd.masks import check_mask_size, load_mask

MAX_UPLOAD_BYTES = 40 * 2**20
MAX_UPLOAD_PIXELS = 40_000_000
MAX_PICTURES = 200
"""Kept for each person, and as many masks; the oldest ones are deleted."""
N_NAME = 60
_FOLDER = "svdaudio-studio-"
_UPLOADED = re.compile(rf"{re.escape(tempfile.gettempdir())}/{_FOLDER}\w+/(?:[\w-]+/)*")
"""The folder of an upload in a text, of this studio or of an earlier one."""


@dataclass(frozen=True, kw_only=True)
class Upload:
    """An uploaded or example picture, or an uploaded mask."""

    id: str
    name: str
    path: Path
    width: int
    height: int

    def facts(self) -> dict[str, object]:
        """The upload as JSON data."""
        return {"id": self.id, "name": self.name, "width": self.width, "height": self.height}

    def picture_facts(self) -> dict[str, object]:
        """The picture as JSON data, with its URL."""
        return {**self.facts(), "url": f"/api/pictures/{self.id}"}


@dataclass(frozen=True, kw_only=True)
class Person:
    """A user, identified by a cookie of the browser."""

    id: str
    folder: Path
    pictures: dict[str, Upload] = field(default_factory=dict[str, Upload])
    masks: dict[str, Upload] = field(default_factory=dict[str, Upload])

    def mask(self, mask: str) -> Upload:
        """Returns a mask of this person.

        Raises:
            InputError: the id is unknown.
        """
        if mask not in self.masks:
            raise InputError("unknown mask", got=mask[:N_NAME], fix="choose the mask file again")
        return self.masks[mask]


class People:
    """All users of the studio, and the example pictures that they share."""

    def __init__(self, scenes: Mapping[str, Scene]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix=_FOLDER))
        self._known: dict[str, Person] = {}
        self._lock = threading.Lock()
        self.examples: dict[str, Upload] = {}
        for name, scene in scenes.items():
            for side, path in (("original", scene.original), ("edited", scene.edited)):
                self.examples[f"{name}-{side}"] = _upload(f"{name}-{side}", path.name, path)

    def close(self) -> None:
        """Deletes all uploads."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def person(self, identity: str | None) -> Person:
        """Returns the person with that id, or a new one."""
        with self._lock:
            if identity is None or identity not in self._known:
                identity = secrets.token_urlsafe(18)
                folder = self._folder / secrets.token_hex(8)
                folder.mkdir()
                self._known[identity] = Person(id=identity, folder=folder)
            return self._known[identity]

    def picture(self, person: Person, picture: str) -> Upload:
        """Returns a picture of a person, or an example.

        Raises:
            InputError: the id is unknown.
        """
        found = person.pictures.get(picture) or self.examples.get(picture)
        if found is None:
            raise InputError("unknown picture", got=picture[:N_NAME], fix="upload it again")
        return found


def add_picture(person: Person, name: str, data: bytes) -> Upload:
    """Keeps an uploaded picture.

    Args:
        person: the owner.
        name: the file name from the browser; only letters, digits, spaces, dots and dashes of it are kept.
        data: the content of the file.

    Raises:
        InputError: the file is too large or not a picture; it is deleted.
    """
    return _add(person.pictures, person.folder / "pictures", name, data)


def add_mask(person: Person, name: str, data: bytes, picture: Upload) -> Upload:
    """Keeps an uploaded mask, an image that is read like a mask file of the command line.

    Args:
        person: the owner.
        name: as for `add_picture`.
        data: the content of the file.
        picture: the picture that the mask belongs to.

    Raises:
        InputError: the file is too large, not an image, not of the picture's size, or not a mask; it is deleted.
    """

    def check(mask: Upload) -> None:
        size = (picture.width, picture.height)
        check_mask_size((mask.width, mask.height), size, mask=mask.name, picture=picture.name)
        load_mask(mask.path)

    return _add(person.masks, person.folder / "masks", name, data, check)


def without_folders(text: str) -> str:
    """Reduces the paths of uploads in a text to their names, so that the page learns no path of this machine."""
    return _UPLOADED.sub("", text)


def _add(
    kept: dict[str, Upload], folder: Path, name: str, data: bytes, check: Callable[[Upload], None] = lambda _: None
) -> Upload:
    """Keeps an image in its own folder, and deletes the oldest ones. Limits are checked before decoding."""
    if len(data) > MAX_UPLOAD_BYTES:
        raise InputError("the file is too large", expected=f"at most {MAX_UPLOAD_BYTES} bytes", got=f"{len(data)}")
    stem, _, suffix = re.sub(r"[^\w .-]", "_", name.replace("\\", "/").rpartition("/")[2]).rpartition(".")
    safe = f"{(stem or suffix or 'picture').strip('. ')[:N_NAME] or 'picture'}.{(suffix if stem else '')[:5] or 'png'}"
    identity = hashlib.sha256(data).hexdigest()[:24]
    place = folder / identity
    place.mkdir(parents=True, exist_ok=True)
    path = place / safe
    path.write_bytes(data)
    try:
        added = _upload(identity, safe, path)
        if added.width * added.height > MAX_UPLOAD_PIXELS:
            raise InputError(
                "the picture is too large",
                expected=f"at most {MAX_UPLOAD_PIXELS} pixels",
                got=f"{added.width} x {added.height}",
            )
        check(added)
    except InputError as error:
        shutil.rmtree(place, ignore_errors=True)
        kept.pop(identity, None)
        raise InputError(
            error.what.replace(str(path), safe), expected=error.expected, got=error.got, fix=error.fix
        ) from None
    kept[identity] = added
    while len(kept) > MAX_PICTURES:
        oldest = kept.pop(next(iter(kept)))
        shutil.rmtree(oldest.path.parent, ignore_errors=True)
    return added


def _upload(identity: str, name: str, path: Path) -> Upload:
    width, height = upright_size(path)
    return Upload(id=identity, name=name, path=path, width=width, height=height)
