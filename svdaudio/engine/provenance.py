"""The provenance of a run's sounds, as a Mermaid diagram and as a W3C PROV document (PROV-JSON).

    print(mermaid(run, workflow))
    json.dumps(prov_document(run, store, workflow))

Both are derived from the record of the run, its workflow and the records of its artifacts; nothing is computed.
Artifacts that have been removed are included, but without the time and host of their computation.

PROV-JSON: https://www.w3.org/submissions/prov-json/. Files, weights, every array and every sound are entities; stages
and the run are activities. A stage that the run computed `wasStartedBy` the run; of a cached stage the run `used` the
outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from svdaudio.engine.stage import FILE_PREFIX, Node, Nodes
from svdaudio.store.base import Store
from svdaudio.store.keys import canonical
from svdaudio.store.lookup import N_SHORT
from svdaudio.store.records import ArtifactRecord
from svdaudio.store.runs import RunRecord, StageEntry

NAMESPACES = {
    name: f"urn:svdaudio:{name}:" for name in ("term", "run", "stage", "array", "file", "model", "sound", "config")
} | {"software": "urn:svdaudio:software:"}

_COLOURS = {
    "computed": "fill:#d9f2d9,stroke:#2e7d32",
    "cached": "fill:#e3f2fd,stroke:#1565c0",
    "failed": "fill:#ffdad6,stroke:#b3261e",
    "pending": "fill:#f5f5f5,stroke:#9e9e9e,stroke-dasharray:4",
    "skipped": "fill:#f5f5f5,stroke:#9e9e9e,stroke-dasharray:4",
}


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """What a run's record does not contain: the sources of inputs, and the output that is each sound."""

    nodes: Nodes = field(default_factory=dict[str, Node])
    sounds: Mapping[str, str] = field(default_factory=dict[str, str])
    """Name of the sound → `node.output`."""

    def producer(self, sound: str) -> tuple[str, str]:
        """The node that produced a sound, and the name of its output; empty names if they are unknown."""
        node, _, output = self.sounds.get(sound, "").rpartition(".")
        return node, output


UNKNOWN_WORKFLOW = Workflow()


def mermaid(run: RunRecord, workflow: Workflow = UNKNOWN_WORKFLOW) -> str:
    """A flowchart of a run, from its files to its sounds: each stage with its key, cached or computed.

    Args:
        run: finished or not.
        workflow: of its method.
    """
    lines = ["flowchart TD"]
    arrows: list[str] = []
    for name, use in run.files.items():
        label = _label(Path(use.path).name, f"sha256 {use.digest[:N_SHORT]}")
        lines.append(f"  {_id(FILE_PREFIX + name)}[/{label}/]")
    groups: dict[str, list[str]] = {}
    for entry in run.stages:
        group, _, stage = entry.node.rpartition(".")
        label = _label(stage, (entry.key or "")[:N_SHORT], entry.status)
        groups.setdefault(group or run.kind, []).append(f"    {_id(entry.node)}[{label}]:::{entry.status}")
        carried: dict[str, list[str]] = {}
        for source in sources_of(run, entry, workflow.nodes).values():
            origin, _, output = (source, "", "") if source.startswith(FILE_PREFIX) else source.rpartition(".")
            carried.setdefault(origin, []).append(output)
        for origin, outputs in carried.items():
            text = outputs[0] if len(outputs) == 1 else f"{outputs[0]}…"
            arrows.append(f"  {_id(origin)} -->{f'|{text}|' if text else ''} {_id(entry.node)}")
    for group, members in groups.items():
        lines += [f'  subgraph {_id(group)}_group["{group}"]', *members, "  end"]
    for name, path in _sounds(run).items():
        lines.append(f"  {_id('sound:' + name)}([{_label(Path(path).name)}])")
        node, output = workflow.producer(name)
        if run.stage(node) is not None:
            arrows.append(f"  {_id(node)} -->|{output}| {_id('sound:' + name)}")
    colours = [f"  classDef {status} {style}" for status, style in _COLOURS.items()]
    return "\n".join([*lines, *arrows, *colours])


def prov_document(run: RunRecord, store: Store, workflow: Workflow = UNKNOWN_WORKFLOW) -> dict[str, Any]:
    """A run as PROV-JSON.

    Args:
        run: finished or not; stages that it did not reach are omitted.
        store: where its artifacts are.
        workflow: of its method.
    """
    document = _Document()
    run_id, config_id = f"run:{run.id}", f"config:{run.id}"
    document.add("activity", run_id, _run_attributes(run))
    document.add("entity", config_id, {"prov:type": _type("Configuration"), "term:values": canonical(run.config)})
    document.relate("wasAssociatedWith", activity=run_id, agent=document.software(run.code_version), plan=config_id)
    for name, use in run.files.items():
        document.add(
            "entity", f"file:{use.digest}", {"prov:type": _type("File"), "prov:location": use.path, "term:name": name}
        )
        document.relate("used", activity=run_id, entity=f"file:{use.digest}", role=name)
    for entry in run.stages:
        if entry.action is not None and entry.key is not None:
            _add_stage(document, run, entry, store.find(entry.key), workflow.nodes)
    for name, path in _sounds(run).items():
        sound = f"sound:{run.id}/{name}"
        document.add("entity", sound, {"prov:type": _type("Sound"), "prov:location": path, "term:name": name})
        document.relate("wasGeneratedBy", entity=sound, activity=run_id)
        node, output = workflow.producer(name)
        entry = run.stage(node)
        if entry is not None and entry.action is not None:
            document.relate("wasDerivedFrom", generatedEntity=sound, usedEntity=f"array:{entry.key}/{output}")
    return document.content


class _Document:
    """A PROV-JSON document that is being written."""

    def __init__(self) -> None:
        self.content: dict[str, Any] = {"prefix": dict(NAMESPACES)}
        self._related: set[str] = set()

    def add(self, kind: str, name: str, attributes: Mapping[str, Any]) -> None:
        """Add an entity, activity or agent, unless it exists."""
        self.content.setdefault(kind, {}).setdefault(name, {n: v for n, v in attributes.items() if v is not None})

    def relate(self, kind: str, **ends: str) -> None:
        """Add a relation, once."""
        text = canonical([kind, ends])
        if text not in self._related:
            self._related.add(text)
            relations = self.content.setdefault(kind, {})
            relations[f"_:{kind}{len(relations) + 1}"] = {f"prov:{end}": name for end, name in ends.items()}

    def software(self, version: str) -> str:
        """The agent for a version of svdaudio."""
        name = f"software:svdaudio-{version or 'unknown'}"
        self.add(
            "agent",
            name,
            {
                "prov:type": {"$": "prov:SoftwareAgent", "type": "prov:QUALIFIED_NAME"},
                "prov:label": f"svdaudio {version}",
            },
        )
        return name


def _add_stage(
    document: _Document, run: RunRecord, entry: StageEntry, record: ArtifactRecord | None, table: Nodes
) -> None:
    action = entry.action
    assert action is not None
    run_id, stage_id = f"run:{run.id}", f"stage:{entry.key}"
    document.add("activity", stage_id, _stage_attributes(entry, record))
    if record is not None:
        document.relate("wasAssociatedWith", activity=stage_id, agent=document.software(record.code_version))
    sources = sources_of(run, entry, table)
    for name, digest in action.inputs.items():
        if name in sources:  # missing only if the workflow has changed and no output of the run has this digest
            document.relate("used", activity=stage_id, entity=_entity(run, sources[name], digest), role=name)
    for role, digest in action.models.items():
        document.add("entity", f"model:{digest}", {"prov:type": _type("Weights"), "term:name": role})
        document.relate("used", activity=stage_id, entity=f"model:{digest}", role=role)
    for name, digest in entry.outputs.items():
        array = f"array:{entry.key}/{name}"
        spec = record.outputs.get(name) if record else None
        document.add(
            "entity",
            array,
            {
                "prov:type": _type("Array"),
                "term:sha256": digest,
                "term:shape": str(list(spec.shape)) if spec else None,
                "term:dtype": spec.dtype if spec else None,
            },
        )
        document.relate("wasGeneratedBy", entity=array, activity=stage_id, role=name)
        if entry.status == "cached":
            document.relate("used", activity=run_id, entity=array)
    if entry.status == "computed":
        document.relate("wasStartedBy", activity=stage_id, starter=run_id)


def _entity(run: RunRecord, source: str, digest: str) -> str:
    """The entity of an input."""
    if source.startswith(FILE_PREFIX):
        return f"file:{digest}"
    node, _, output = source.rpartition(".")
    producer = run.stage(node)
    assert producer is not None
    return f"array:{producer.key}/{output}"


def _run_attributes(run: RunRecord) -> dict[str, Any]:
    begun = datetime.fromisoformat(run.created_at)
    in_one_go = run.state == "finished" and run.attempts == 1
    return {
        "prov:type": _type("Run"),
        "prov:startTime": begun.isoformat(),
        "prov:endTime": (begun + timedelta(seconds=run.seconds)).isoformat() if in_one_go else None,
        "term:kind": run.kind,
        "term:state": run.state,
        "term:bundle": run.bundle,
        "term:runner": run.runner,
        "term:host": run.host,
    }


def _stage_attributes(entry: StageEntry, record: ArtifactRecord | None) -> dict[str, Any]:
    action = entry.action
    assert action is not None
    attributes: dict[str, Any] = {
        "prov:type": _type("Stage"),
        "prov:label": entry.node,
        "term:stage": action.stage,
        "term:version": action.version,
        "term:parameters": canonical(action.parameters),
        "term:status": entry.status,
        "term:reason": entry.reason,
    }
    if record is not None:
        ended = datetime.fromisoformat(record.created_at)
        attributes |= {
            "prov:startTime": (ended - timedelta(seconds=record.seconds)).isoformat(),
            "prov:endTime": ended.isoformat(),
            "term:host": record.host,
        }
    return attributes


def sources_of(run: RunRecord, entry: StageEntry, table: Nodes) -> dict[str, str]:
    """Input name → `node.output` or `file:<name>`, from the workflow, or from digests if the workflow has changed."""
    node = table.get(entry.node)
    if node is not None and (entry.action is None or node.inputs.keys() == entry.action.inputs.keys()):
        return dict(node.inputs)
    held = {use.digest: FILE_PREFIX + name for name, use in run.files.items()}
    for other in run.stages:
        held.update({digest: f"{other.node}.{name}" for name, digest in other.outputs.items()})
    inputs = entry.action.inputs if entry.action else {}
    return {name: held[digest] for name, digest in inputs.items() if digest in held}


def _sounds(run: RunRecord) -> dict[str, str]:
    return dict(run.results.get("audio", {}))


def _type(name: str) -> dict[str, str]:
    return {"$": f"term:{name}", "type": "prov:QUALIFIED_NAME"}


def _id(name: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in name)


def _label(*lines: str) -> str:
    """Lines of a label, with Mermaid's special characters escaped."""
    return '"' + "<br/>".join(_escaped(lines)) + '"'


def _escaped(lines: Iterable[str]) -> Iterable[str]:
    codes = {ord(character): f"#{ord(character)};" for character in '#"<>&'}
    return (line.translate(codes) for line in lines if line)
