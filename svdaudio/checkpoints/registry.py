"""The registry of published weights, as typed values. Reading it imports no torch."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from svdaudio.checkpoints.roles import LOADERS
from svdaudio.errors import InputError


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PublishedFile(_Model):
    """One file of a published model."""

    name: str
    """Path below the model's folder."""
    bytes: int | None = None
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    """None if no public source states it."""
    urls: tuple[str, ...] = ()
    """Download addresses, tried in order; empty if the file has to be downloaded by hand."""

    @field_validator("name")
    @classmethod
    def _stays_inside(cls, name: str) -> str:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{name} would leave its folder")
        return name


class Published(_Model):
    """One published model, which may fill several roles."""

    name: str
    title: str
    purpose: str
    roles: tuple[str, ...]
    format: str
    """Selects the loader: see `svdaudio.checkpoints.roles.LOADERS`."""
    licence: str
    page: str
    """Web page of the model."""
    known_from: str | None = None
    """Public source of the digests."""
    recommended: bool = False
    """Whether `fetch` downloads it when no name is given."""
    settings: dict[str, Any] = {}
    """Dotted configuration name → value, for the settings of a bundle that has it."""
    folder: str | None = None
    """Subfolder of the bundle that holds the files; loaders then get that folder instead of a file."""
    files: tuple[PublishedFile, ...] = Field(min_length=1)

    @property
    def is_pinned(self) -> bool:
        """Whether the registry knows the digest of every file."""
        return all(file.sha256 for file in self.files)

    @property
    def n_bytes(self) -> int | None:
        """Total size of all files, if known."""
        sizes = [file.bytes for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def place(self, file: PublishedFile) -> str:
        """Path of a file relative to the bundle's folder."""
        return f"{self.folder}/{file.name}" if self.folder else file.name

    def filling(self, role: str | None) -> Published:
        """The same model for another role, such as a tagger as the second judge; itself if no role is named.

        Raises:
            InputError: no loader reads it for that role.
        """
        if role is None:
            return self
        able = [one for one, formats in LOADERS.items() if self.format in formats]
        if role not in able:
            raise InputError(f"{self.name} cannot be the {role} of a bundle", expected=" or ".join(able), got=role)
        return self.model_copy(update={"roles": (role,)})

    @property
    def loads_from(self) -> str:
        """Path that a loader gets, relative to the bundle's folder."""
        return self.files[0].name if self.folder is None else self.folder


class _Registry(_Model):
    published: tuple[Published, ...]


@cache
def registry() -> tuple[Published, ...]:
    """All known published models."""
    text = (files("svdaudio.checkpoints") / "registry.toml").read_text(encoding="utf-8")
    return _Registry.model_validate(tomllib.loads(text)).published


def find(name: str) -> Published:
    """A published model by its name.

    Raises:
        InputError: no published model has that name.
    """
    for published in registry():
        if published.name == name:
            return published
    raise InputError(
        f"no published model is named '{name}'",
        expected=f"one of {', '.join(published.name for published in registry())}",
        fix="run `svdaudio checkpoints list`",
    )


def for_role(role: str) -> tuple[Published, ...]:
    """Models that can fill a role, the recommended one first."""
    return tuple(sorted((p for p in registry() if role in p.roles), key=lambda published: not published.recommended))


def of_format(name: str) -> Published | None:
    """The first published model of a format."""
    return next((published for published in registry() if published.format == name), None)


def with_digest(sha256: str) -> tuple[Published, PublishedFile] | None:
    """The published file with a digest."""
    for published in registry():
        for file in published.files:
            if file.sha256 == sha256:
                return published, file
    return None
