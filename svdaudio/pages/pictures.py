"""The pictures of a run with regions, patches and detected objects as SVG shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.stage import FILE_PREFIX, group_of
from svdaudio.pages.media import outline_path, picture_uri
from svdaudio.views.plots import PATCH_GRID_SIZE, patched_area
from svdaudio.views.stages import masks_done, nodes_done, picture_of, prompted

ROLES = ("removed", "added")
"""Groups of nodes that have their own colours; other objects get the colours of a palette in order."""


@dataclass(frozen=True, kw_only=True)
class Rectangle:
    """A rectangle in the pixels of a picture."""

    x: float
    y: float
    width: float
    height: float
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """An overlay of a picture, which the reader can switch on and off."""

    kind: Literal["mask", "grid", "boxes"]
    label: str
    style: str
    """Of the region: "removed", "added", "object-1" …; "seen" for detected objects."""
    path: str = ""
    """Outline of a mask, as an SVG path."""
    points: Sequence[tuple[float, float, bool]] = ()
    """Clicks: x, y, and whether the click is inside the object."""
    rectangles: Sequence[Rectangle] = ()


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture of a run."""

    name: str
    """"original"."""
    file: str
    """The name of its file."""
    digest: str
    """sha256 of its file."""
    uri: str
    width: int
    height: int
    layers: Sequence[Layer] = field(default_factory=list[Layer])

    @property
    def kinds(self) -> list[str]:
        """Kinds of its layers, each once."""
        return list(dict.fromkeys(layer.kind for layer in self.layers))


def pictures(arrays: RunArrays) -> list[Picture]:
    """Every picture that a run read from a user file, with its layers."""
    found: list[Picture] = []
    masks = masks_done(arrays)
    styles = _styles(masks)
    for name in nodes_done(arrays, "image"):
        source = next(iter(arrays.nodes[name].inputs.values()))
        use = arrays.run.files[source.removeprefix(FILE_PREFIX)]
        pixels = arrays[name]["pixels"]
        here = [mask for mask in masks if picture_of(arrays, mask) == name]
        found.append(
            Picture(
                name=group_of(name),
                file=Path(use.path).name,
                digest=use.digest,
                uri=picture_uri(pixels),
                width=pixels.shape[1],
                height=pixels.shape[0],
                layers=[
                    *(_mask(arrays, mask, styles[mask]) for mask in here),
                    *_grids(arrays, here, styles, pixels),
                    *_boxes(arrays, name),
                ],
            )
        )
    return found


def _styles(masks: Sequence[str]) -> dict[str, str]:
    objects = [mask for mask in masks if group_of(mask) not in ROLES]
    return {mask: group_of(mask) if mask not in objects else f"object-{objects.index(mask) + 1}" for mask in masks}


def _mask(arrays: RunArrays, node: str, style: str) -> Layer:
    found = arrays[node]
    prompts = [arrays.parameters(one) for one in prompted(arrays, node)]
    score = f", score {float(found['score']):.2f}" if "score" in found else ""
    return Layer(
        kind="mask",
        label=f"{group_of(node)}: {float(found['mask'].mean()):.1%} of the picture{score}",
        style=style,
        path=outline_path(found["mask"].astype(bool)),
        points=[(float(x), float(y), bool(label)) for one in prompts for x, y, label in one.get("points", ())],
        rectangles=[_rectangle(one["box"]) for one in prompts if "box" in one],
    )


def _grids(arrays: RunArrays, masks: Sequence[str], styles: dict[str, str], pixels: Any) -> list[Layer]:
    found: list[Layer] = []
    for node in nodes_done(arrays, "align"):
        mask = next((one for one in masks if one in arrays.nodes[node].upstream), None)
        if mask is None:
            continue
        left, top, width, height = patched_area(pixels, arrays.parameters(node)["geometry"])
        n = PATCH_GRID_SIZE
        inside = np.argwhere(arrays[node]["grid"].reshape(n, n) > 0)
        cells = [
            Rectangle(x=left + column * width / n, y=top + row * height / n, width=width / n, height=height / n)
            for row, column in inside.tolist()
        ]
        label = f"{group_of(node)}: {len(cells)} of {n * n} patches"
        found.append(Layer(kind="grid", label=label, style=styles[mask], rectangles=cells))
    return found


def _boxes(arrays: RunArrays, picture: str) -> list[Layer]:
    found: list[Layer] = []
    for node in nodes_done(arrays, "locals"):
        if picture_of(arrays, node) != picture:
            continue
        detected, classes = arrays[node], arrays.classes("detector")
        numbers = [int(number) for number in detected["classes"].ravel()]
        names = [classes[number] if number < len(classes) else f"class {number}" for number in numbers]
        scores = [float(score) for score in detected["scores"].ravel()]
        boxes = [
            _rectangle(box, f"{name} {score:.2f}")
            for box, name, score in zip(detected["boxes"].reshape(-1, 4).tolist(), names, scores, strict=True)
        ]
        label = ", ".join(box.label for box in boxes) or "nothing"
        found.append(Layer(kind="boxes", label=label, style="seen", rectangles=boxes))
    return found


def _rectangle(box: Sequence[float], label: str = "") -> Rectangle:
    left, top, right, bottom = map(float, box)
    return Rectangle(x=left, y=top, width=right - left, height=bottom - top, label=label)
