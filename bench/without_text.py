"""Does a negative text silence an animal? Guidance away from its name, against muting it in the picture.

    uv run python bench/without_text.py [N_SCENES]

Held-out scenes of two animals with the mini bundle, one candidate. Of each scene three sounds: the plain one, one led
away from the name of the first animal, and one with that animal muted by a click. Printed are the tagger's scores of
the first animal and of the other, and means over the scenes in whose plain sound the first animal is heard.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from pathlib import Path

import numpy as np

from svdaudio.mini.farm import CLASSES
from svdaudio.session import Session
from svdaudio.studies.edits import write_picture
from svdaudio.studies.faders import FADERS_SEED, draw_scene
from svdaudio.verdicts import HEARD

PAIRS = list(itertools.combinations(CLASSES, 2))


def main(n_scenes: int = 12) -> None:
    """Print a table."""
    rows: list[list[float]] = []
    print(
        "| scene | plain | without text | muted | other: plain | without text | muted |\n|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as name:
        session = Session(Path(name) / "store")
        for number in range(0, len(PAIRS), len(PAIRS) // n_scenes)[:n_scenes]:
            scene = draw_scene(PAIRS[number], number, seed=FADERS_SEED)
            picture = write_picture(Path(name) / f"{scene.name}.png", scene.picture)
            wanted, other = scene.animals
            muting = {"objects": {wanted: scene.objects[wanted]}, "gains": {wanted: "-inf"}}
            scores = [
                session.run(
                    session.request("mixer", [picture], {**case, "generate.candidates": 1}), pictures=False
                ).scores
                for case in ({"without_text": wanted}, muting)
            ]
            sounds = [scores[0]["original"], *(one["mix"] for one in scores)]
            rows.append([sound[animal] for animal in (wanted, other) for sound in sounds])
            print(f"| {wanted}, {other} | {' | '.join(f'{score:.3f}' for score in rows[-1])} |", flush=True)
    heard = np.array([row for row in rows if row[0] >= HEARD])
    print(f"| mean of {len(heard)} | {' | '.join(f'{score:.3f}' for score in heard.mean(0))} |")
    both = heard[heard[:, 3] >= HEARD]
    print(f"| mean of {len(both)} with both | {' | '.join(f'{score:.3f}' for score in both.mean(0))} |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
