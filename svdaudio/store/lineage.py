"""Relations between artifacts: which one reads the output of which, and which runs use them.

Inputs are identified by content, so an artifact depends on every artifact that holds the same content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from svdaudio.errors import MissingArtifactError
from svdaudio.store.base import Store
from svdaudio.store.reading import read_records
from svdaudio.store.records import ArtifactRecord


@dataclass(frozen=True, kw_only=True)
class Input:
    """One input of a computation."""

    name: str
    source: str
    """`node.output` or `file:<name>`, as it was when it was computed."""
    digest: str
    held_by: tuple[str, ...]
    """Keys of the artifacts that have it as an output; empty for a file, or if they are gone."""


@dataclass(frozen=True, kw_only=True)
class Use:
    """A node of a run that uses an artifact."""

    run: str
    node: str
    status: str


@dataclass(frozen=True, kw_only=True)
class Why:
    """Why an artifact exists."""

    record: ArtifactRecord
    inputs: tuple[Input, ...]
    uses: tuple[Use, ...]
    """Newest run first."""
    dependents: Mapping[str, str] = field(default_factory=dict[str, str])
    """Key → stage of every artifact that was computed from one of its outputs."""


class Lineage:
    """The records of a store, read once, with the producers and consumers of each array.

    Args:
        store: any store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    @cached_property
    def records(self) -> dict[str, ArtifactRecord]:
        """Every artifact's record by its key, except those that a newer version of svdaudio wrote."""
        found = read_records(self._store, self._store.keys())
        return {one.key: one.record for one in found if one.record is not None}

    @cached_property
    def _producers(self) -> dict[str, list[str]]:
        """Digest of an array → keys of the artifacts that hold it."""
        producers: dict[str, list[str]] = {}
        for key, record in self.records.items():
            for spec in record.outputs.values():
                producers.setdefault(spec.digest, []).append(key)
        return producers

    def why(self, key: str) -> Why:
        """Which runs use an artifact, what it was computed from, and what was computed from it.

        Raises:
            MissingArtifactError: the artifact does not exist.
            NewerRecordError: a newer version of svdaudio wrote it.
        """
        record = self.records.get(key) or self._store.find(key)
        if record is None:
            raise MissingArtifactError(f"artifact {key[:12]} does not exist in {self._store.location}")
        outputs = {spec.digest for spec in record.outputs.values()}
        return Why(
            record=record,
            inputs=tuple(
                Input(
                    name=name,
                    source=record.sources.get(name, ""),
                    digest=digest,
                    held_by=tuple(sorted(self._producers.get(digest, []))),
                )
                for name, digest in record.action.inputs.items()
            ),
            uses=tuple(
                Use(run=run.id, node=entry.node, status=entry.status)
                for run in self._store.runs
                for entry in run.stages
                if entry.key == key
            ),
            dependents={
                other: found.action.stage
                for other, found in self.records.items()
                if not outputs.isdisjoint(found.action.inputs.values())
            },
        )
