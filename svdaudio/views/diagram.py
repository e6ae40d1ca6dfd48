"""Mermaid diagrams of workflows; `python -m svdaudio.methods [METHOD]` prints that of a method."""

from __future__ import annotations

from svdaudio.engine.stage import FILE_PREFIX, Nodes, group_of


def mermaid(nodes: Nodes) -> str:
    """A flowchart of all nodes, with arrows from each node to those that read its outputs."""
    groups: dict[str, list[str]] = {}
    arrows: list[str] = []
    for node in nodes.values():
        group, stage = group_of(node.name), node.name.rpartition(".")[2]
        groups.setdefault(group, []).append(f'    {_id(node.name)}["{stage}"]')
        carried: dict[str, list[str]] = {}
        for source in node.inputs.values():
            upstream, _, output = source.rpartition(".")
            if not source.startswith(FILE_PREFIX):
                carried.setdefault(upstream, []).append(output)
        for upstream, outputs in carried.items():
            label = outputs[0] if len(outputs) == 1 else f"{outputs[0]}…"
            arrows.append(f"  {_id(upstream)} -->|{label}| {_id(node.name)}")
    lines = ["flowchart TD"]
    for group, members in groups.items():
        lines += [f'  subgraph {_id(group or "edit")}_group["{group or "edit"}"]', *members, "  end"]
    return "\n".join([*lines, *arrows])


def _id(name: str) -> str:
    return name.replace(".", "_")
