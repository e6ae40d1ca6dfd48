"""Notes on pictures of a run that are unlike the training pictures of its bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svdaudio.config import RunConfig
from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.stage import Nodes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from svdaudio.models.domain import Domain

ReadIfDone = Callable[[str], "Mapping[str, NDArray[Any]] | None"]
"""Name of a node → its arrays, or None if it was not computed."""
UNLIKE = "is unlike the pictures that the bundle"
"""The words of every note of this module, which other notes do not have."""


def domain_notes(arrays: RunArrays, domain: Domain) -> list[str]:
    """A note for each picture of a run that departs from the domain of its bundle.

    Raises:
        StoreError: an artifact is missing or damaged.
    """
    found = departures_of(arrays.nodes, arrays.config, domain, lambda name: arrays[name] if arrays.has(name) else None)
    notes: list[str] = []
    for name, departures in found.items():
        kind = arrays.method.files.get(name)
        described = name if kind is None or kind.name == name else f"{name} {kind.name}"
        picture = f"{described} {Path(arrays.run.files[name].path).name}"
        notes.append(departure_note(picture, arrays.run.bundle, departures))
    return notes


def departure_note(picture: str, bundle: str, departures: tuple[str, ...]) -> str:
    """The note on a picture that departs from a bundle's domain, and on what that means for its results.

    Args:
        picture: how the note names the picture.
        bundle: name of the bundle.
        departures: from `Domain.departures`.
    """
    return (
        f"the {picture} {UNLIKE} '{bundle}' was trained on ({'; '.join(departures)}): "
        "its sound and scores may be wrong, even if the scores are high; use a bundle trained on such pictures"
    )


def departures_of(nodes: Nodes, config: RunConfig, domain: Domain, read: ReadIfDone) -> dict[str, tuple[str, ...]]:
    """How the pictures of a workflow depart from a domain.

    Takes the `tokens` of every stage with the image encoder, and the `scores` of every stage with the detector, that
    read the pixels of a user file and were computed.

    Args:
        nodes: the workflow.
        config: its parameters.
        domain: of the bundle that computed it.
        read: reads the arrays of a node, such as tokens [257, 768] and scores [n].

    Returns:
        Name of the file → its departures, for each picture that has any.
    """
    seen: dict[str, dict[str, Any]] = {}
    for name, node in nodes.items():
        reader = nodes.get(node.inputs.get("pixels", "").rpartition(".")[0])
        by_models = {"image_encoder": "tokens", "detector": "scores"}
        outputs = [output for role, output in by_models.items() if role in node.stage.models]
        if reader is None or not reader.files or not set(outputs) & set(node.stage.outputs):
            continue
        arrays = read(name)
        if arrays is None:
            continue
        known = seen.setdefault(reader.files[0], {})
        known.update({output: arrays[output] for output in outputs if output in node.stage.outputs})
        if "scores" in known and "confidence" in node.bindings:
            known["least_confidence"] = config.value(node.bindings["confidence"])
    found = {name: domain.departures(**known) for name, known in seen.items()}
    return {name: departures for name, departures in found.items() if departures}
