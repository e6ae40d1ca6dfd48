"""Who uses the studio: each browser has pictures and jobs of its own. Uploaded pictures end with the studio."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from svdaudio.errors import InputError
from svdaudio.studies.scenes import Scene
from svdaudio.svd.images import upright_size

MAX_UPLOAD_BYTES = 40 * 2**20
MAX_UPLOAD_PIXELS = 40_000_000
MAX_PICTURES = 200
"""Of one person; the oldest ones are forgotten."""
N_NAME = 60


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A picture that can be used."""

    id: str
    name: str
    path: Path
    width: int
    height: int

    def facts(self) -> dict[str, object]:
        """As JSON data."""
        return {
            "id": self.id,
            "name": self.name,
            "width": self.width,
            "height": self.height,
            "url": f"/api/pictures/{self.id}",
        }


@dataclass(frozen=True, kw_only=True)
class Person:
    """A browser."""

    id: str
    folder: Path
    pictures: dict[str, Upload] = field(default_factory=dict[str, Upload])


class People:
    """Everybody who uses the studio, and the examples that all of them may use."""

    def __init__(self, scenes: Mapping[str, Scene]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="svdaudio-studio-"))
        self._known: dict[str, Person] = {}
        self._lock = threading.Lock()
        self.examples: dict[str, Upload] = {}
        for name, scene in scenes.items():
            for side, path in (("original", scene.original), ("edited", scene.edited)):
                self.examples[f"{name}-{side}"] = _upload(f"{name}-{side}", path.name, path)

    def close(self) -> None:
        """Remove what was uploaded."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def person(self, identity: str | None) -> Person:
        """The person of that id, or a new one."""
        with self._lock:
            if identity is None or identity not in self._known:
                identity = secrets.token_urlsafe(18)
                folder = self._folder / secrets.token_hex(8)
                folder.mkdir()
                self._known[identity] = Person(id=identity, folder=folder)
            return self._known[identity]

    def picture(self, person: Person, picture: str) -> Upload:
        """A picture of a person, or an example.

        Raises:
            InputError: there is none of that id.
        """
        found = person.pictures.get(picture) or self.examples.get(picture)
        if found is None:
            raise InputError("there is no such picture", got=picture[:N_NAME], fix="upload it again")
        return found


def add_picture(person: Person, name: str, data: bytes) -> Upload:
    """Keep an uploaded picture.

    Args:
        person: whose it is.
        name: of the file, as the browser gives it; only letters, digits, spaces, dots and dashes of it are kept.
        data: its content.

    Raises:
        InputError: it is too large, or not a picture. Nothing of it is kept then.
    """
    if len(data) > MAX_UPLOAD_BYTES:
        raise InputError("the file is too large", expected=f"at most {MAX_UPLOAD_BYTES} bytes", got=f"{len(data)}")
    stem, _, suffix = re.sub(r"[^\w .-]", "_", name.replace("\\", "/").rpartition("/")[2]).rpartition(".")
    safe = f"{(stem or suffix or 'picture').strip('. ')[:N_NAME] or 'picture'}.{(suffix if stem else '')[:5] or 'png'}"
    identity = hashlib.sha256(data).hexdigest()[:24]
    folder = person.folder / identity
    folder.mkdir(exist_ok=True)
    path = folder / safe
    path.write_bytes(data)
    try:
        added = _upload(identity, safe, path)
        if added.width * added.height > MAX_UPLOAD_PIXELS:
            raise InputError(
                "the picture is too large",
                expected=f"at most {MAX_UPLOAD_PIXELS} pixels",
                got=f"{added.width} x {added.height}",
            )
    except InputError as error:
        shutil.rmtree(folder, ignore_errors=True)
        person.pictures.pop(identity, None)
        raise InputError(
            error.what.replace(str(path), safe), expected=error.expected, got=error.got, fix=error.fix
        ) from None
    person.pictures[identity] = added
    while len(person.pictures) > MAX_PICTURES:
        oldest = person.pictures.pop(next(iter(person.pictures)))
        shutil.rmtree(oldest.path.parent, ignore_errors=True)
    return added


def _upload(identity: str, name: str, path: Path) -> Upload:
    width, height = upright_size(path)
    return Upload(id=identity, name=name, path=path, width=width, height=height)
