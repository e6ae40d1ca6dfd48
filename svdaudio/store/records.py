"""The record of an artifact: what was computed, from what, into what. It is written last.

An artifact exists if and only if its record does. Records are plain JSON; reading one needs neither zarr nor
numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from svdaudio.store.keys import Action
from svdaudio.store.sealed import seal, unseal


@dataclass(frozen=True, kw_only=True)
class ArraySpec:
    """An output array as it must be found again."""

    digest: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class ArtifactRecord:
    """What an artifact says about itself.

    Only `action` is identity. The rest tells where it came from; `sources` names the node outputs or files that
    the inputs were read from when it was computed.
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
    """What is no part of the key but rounds differently, for a stage with a model: `threads` as configured, `n_threads`
    as torch used them. Empty in records of earlier versions."""

    @property
    def key(self) -> str:
        """The action key, under which the artifact lies in the store."""
        return self.action.key

    def to_json(self) -> str:
        """The record as text, readable by people."""
        fields = asdict(self)
        action = fields.pop("action")
        return seal(dict(sorted({"key": self.key, **action, **fields}.items())))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a record and check that it is the one its key names.

        Raises:
            ValueError: it is truncated, damaged, of an unknown format, or its key is not that of its contents.
        """
        try:
            fields = unseal(text)
            key: str = fields["key"]
            record = cls(
                action=Action(
                    **{name: fields[name] for name in ("stage", "version", "parameters", "inputs", "models")}
                ),
                outputs={
                    name: ArraySpec(digest=spec["digest"], shape=tuple(spec["shape"]), dtype=spec["dtype"])
                    for name, spec in fields["outputs"].items()
                },
                sources=fields["sources"],
                notes=tuple(fields["notes"]),
                execution=dict(fields.get("execution", {})),
                **{name: fields[name] for name in ("seconds", "code_version", "host", "created_at")},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the record is incomplete ({error})") from error
        if record.key != key:
            raise ValueError("the record's key is not that of its contents")
        return record
