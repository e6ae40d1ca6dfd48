"""Measure sounds and texts next to a picture, and a negative text, with the mini bundle.

    uv run python bench/sources.py [N_SCENES]

Held-out scenes of two animals, one candidate. Each scene has the plain sound and six others: guided away from the name
of the first animal, the same at guidance 7 instead of 3, that animal muted by a click, and a third animal next to the
picture, as its recording at 0 and at -6 dB and as its name at 0 dB. Prints the tagger's scores, and their means.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from svdaudio.mini.farm import CLASSES, FARM
from svdaudio.session import Session
from svdaudio.studies.edits import write_picture
from svdaudio.studies.faders import FADERS_SEED, Scene, draw_scene

PAIRS = list(itertools.combinations(CLASSES, 2))
COLUMNS = (
    "first: plain", "without its name", "at guidance 7", "muted",
    "second: plain", "without the first's name", "at guidance 7", "first muted",
    "third: plain", "recording", "recording at -6 dB", "name", "the two, least: plain", "with recording", "at -6 dB",
    "with name",
)  # fmt: skip


def cases(scene: Scene, third: str) -> list[dict[str, Any]]:
    """The settings of the six sounds."""
    first = scene.animals[0]
    recording = {"sounds": {third: str(FARM / "sounds" / f"{third}.ogg")}}
    return [
        {"without_text": first},
        {"without_text": first, "generate.guidance_scale": 7},
        {"objects": {first: scene.objects[first]}, "gains": {first: "-inf"}},
        recording,
        {**recording, "gains": {third: -6}},
        {"texts": {third: third}},
    ]


def main(n_scenes: int = 12) -> None:
    """Print a table."""
    rows: list[list[float]] = []
    print(f"| scene | {' | '.join(COLUMNS)} |\n|{'---|' * (1 + len(COLUMNS))}")
    with tempfile.TemporaryDirectory() as name:
        session = Session(Path(name) / "store")
        for number in range(0, len(PAIRS), len(PAIRS) // n_scenes)[:n_scenes]:
            scene = draw_scene(PAIRS[number], number, seed=FADERS_SEED)
            third = next(one for one in CLASSES[number % len(CLASSES) :] + CLASSES if one not in scene.animals)
            picture = write_picture(Path(name) / f"{scene.name}.png", scene.picture)
            found: list[Any] = []
            for case in cases(scene, third):
                request = session.request("mixer", [picture], {**case, "generate.candidates": 1})
                found.append(session.run(request, pictures=False).scores)
            plain, away, far, muted, *added = [found[0]["original"], *(one["mix"] for one in found)]
            rows.append([sound[animal] for animal in scene.animals for sound in (plain, away, far, muted)])
            rows[-1] += [sound[third] for sound in (plain, *added)]
            rows[-1] += [min(sound[animal] for animal in scene.animals) for sound in (plain, *added)]
            print(f"| {scene.name}, {third} | {' | '.join(f'{score:.3f}' for score in rows[-1])} |", flush=True)
    print(f"| mean | {' | '.join(f'{score:.3f}' for score in np.mean(rows, 0))} |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
