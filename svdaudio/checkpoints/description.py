"""The file `bundle.json`, which describes a bundle: read and validated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from svdaudio.checkpoints.roles import OWN_FORMAT
from svdaudio.errors import CheckpointError
from svdaudio.files import read_text
from svdaudio.weights.digests import joint_digest

MANIFEST = "bundle.json"
"""Name of the file in a bundle's folder."""
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Description(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, defer_build=True)


class PartDescription(_Description):
    """One file of a checkpoint, as `bundle.json` describes it."""

    file: str = Field(min_length=1)
    """Path below the bundle's folder."""
    sha256: Digest
    bytes: int = Field(ge=0)


class ModelDescription(PartDescription):
    """The checkpoint of a role, as `bundle.json` describes it."""

    format: str = OWN_FORMAT
    published: str | None = Field(default=None, pattern=r"^[\w.+-]+$")
    parts: list[PartDescription] = Field(default=[], strict=True)
    """All files, if there is more than one."""
    classes: list[str] = []

    @property
    def files(self) -> list[PartDescription]:
        """Every file."""
        return self.parts or [self]

    @model_validator(mode="after")
    def _digest_covers_all_files(self) -> ModelDescription:
        if joint_digest((part.file, part.sha256) for part in self.files) != self.sha256:
            raise ValueError("sha256 does not match the parts")
        if not any(Path(self.file) in (path := Path(part.file), *path.parents) for part in self.files):
            raise ValueError(f"'{self.file}' is not one of the parts")
        return self


class BundleDescription(_Description):
    """Content of `bundle.json`."""

    title: str
    base: str | None = None
    """Name of the bundle that has all other roles."""
    settings: dict[str, Any]
    models: dict[str, ModelDescription]
    """By role."""

    @model_validator(mode="after")
    def _names_no_other_bundle(self) -> BundleDescription:
        if "bundle" in self.settings:
            raise ValueError("settings cannot select another bundle")
        return self


def read_description(path: Path, *, fix: str) -> BundleDescription:
    """Read and check a `bundle.json`.

    Args:
        path: path of the file.
        fix: remedy for a damaged file, for the error.

    Raises:
        OSError: the file cannot be read, or is not a plain file.
        CheckpointError: it is damaged: it is not JSON, a value has the wrong type, or a path leads out of the folder.
    """
    try:
        description = BundleDescription.model_validate(json.loads(read_text(path)))
        for part in (part for model in description.models.values() for part in (model, *model.parts)):
            _inside(path.parent, part.file)
    except (ValueError, RuntimeError) as error:  # RuntimeError: nested too deeply, or circular links
        raise CheckpointError(f"the description {path} is damaged", got=_first_reason(error), fix=fix) from error
    return description


def _inside(folder: Path, file: str) -> Path:
    """A file below a bundle's folder.

    Raises:
        ValueError: its path, or a symbolic link on it, leads out of the folder. (The folder itself may be a link.)
    """
    path = folder / file
    if Path(file).is_absolute() or ".." in Path(file).parts or not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{file!r} leads out of the bundle's folder")
    return path


def _first_reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where}: {first['msg']}" if where else first["msg"]
    return str(error)
