"""The workflow as a Mermaid picture, made from the stage table so that it cannot differ from it."""

from __future__ import annotations

from svdaudio.engine.stage import NODES


def mermaid() -> str:
    """A flowchart of every node: an arrow wherever one reads what another wrote, labelled with what it is."""
    groups: dict[str, list[str]] = {}
    arrows: list[str] = []
    for node in NODES.values():
        name, _, stage = node.name.rpartition(".")
        groups.setdefault(name, []).append(f'    {_id(node.name)}["{stage}"]')
        carried: dict[str, list[str]] = {}
        for source in node.inputs.values():
            upstream, _, output = source.rpartition(".")
            if not source.startswith("file:"):
                carried.setdefault(upstream, []).append(output)
        for upstream, outputs in carried.items():
            label = outputs[0] if len(outputs) == 1 else f"{outputs[0]}…"
            arrows.append(f"  {_id(upstream)} -->|{label}| {_id(node.name)}")
    lines = ["flowchart TD"]
    for name, members in groups.items():
        lines += [f'  subgraph {_id(name or "edit")}_group["{name or "edit"}"]', *members, "  end"]
    return "\n".join([*lines, *arrows])


def _id(name: str) -> str:
    return name.replace(".", "_")


if __name__ == "__main__":
    print(mermaid())  # noqa: T201 - a command
