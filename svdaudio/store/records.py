"""The record of an artifact: what was computed, from which inputs, with which outputs. It is written last.

An artifact exists if and only if its record does. Records are plain JSON; reading one needs neither zarr nor
numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from svdaudio.errors import ConfigError
from svdaudio.store import fields as of
from svdaudio.store.keys import Action
from svdaudio.store.sealed import seal, unseal

ACTION_FIELDS = ("stage", "version", "parameters", "inputs", "models")

CLOCK_TOLERANCE_S = 900.0
"""A time further in the future than this was recorded by a wrong clock."""


@dataclass(frozen=True, kw_only=True)
class ArraySpec:
    """Description of an output array, checked when it is read."""

    digest: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class ArtifactRecord:
    """The record of an artifact.

    Only `action` identifies it. The rest is provenance; `sources` names the node outputs or files that the inputs
    were read from when it was computed.
    """

    action: Action
    outputs: Mapping[str, ArraySpec]
    sources: Mapping[str, str]
    notes: tuple[str, ...]
    seconds: float
    code_version: str
    host: str
    created_at: str
    """UTC, ISO 8601."""
    execution: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """For a stage with a model, what is not part of the key but affects rounding: `threads` as configured, `n_threads`
    as torch used them. Empty in records of earlier versions."""

    @property
    def key(self) -> str:
        """The action key, under which the store holds the artifact."""
        return self.action.key

    def to_json(self) -> str:
        """The record as human-readable text."""
        fields = asdict(self)
        action = fields.pop("action")
        return seal(dict(sorted({"key": self.key, **action, **fields}.items())))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a record and check that its key matches its content.

        Raises:
            NewerFormatError: a newer version of svdaudio wrote it.
            ValueError: it is truncated, damaged, of an unknown format, holds a field of another type, or its key does
                not match its content.
        """
        try:
            fields = unseal(text)
            key = of.key(fields["key"])
            record = cls(
                action=read_action({name: fields[name] for name in ACTION_FIELDS}),
                outputs=of.named(fields["outputs"], _array_spec),
                sources=of.named(fields["sources"], of.text),
                notes=of.texts(fields["notes"]),
                seconds=of.number(fields["seconds"]),
                code_version=of.text(fields["code_version"]),
                host=of.text(fields["host"]),
                created_at=of.time(fields["created_at"]),
                execution=of.named(fields.get("execution", {}), _setting),
            )
            found = record.key
        except (KeyError, TypeError, ConfigError) as error:
            raise ValueError(f"the record is incomplete or malformed ({error})") from error
        if found != key:
            raise ValueError("the record's key does not match its content")
        return record


def read_action(fields: Mapping[str, Any]) -> Action:
    """Read an action from the fields of a record.

    Raises:
        KeyError, TypeError: a field is missing, or of another type.
    """
    return Action(
        stage=of.name(fields["stage"]),
        version=of.integer(fields["version"]),
        parameters=of.mapping(fields["parameters"]),
        inputs=of.named(fields["inputs"], of.digest),
        models=of.named(fields["models"], of.digest),
    )


def _setting(value: object) -> int | None:
    return None if value is None else of.integer(value)


def _array_spec(value: object) -> ArraySpec:
    fields = of.mapping(value)
    return ArraySpec(
        digest=of.digest(fields["digest"]), shape=of.shape(fields["shape"]), dtype=of.dtype(fields["dtype"])
    )
