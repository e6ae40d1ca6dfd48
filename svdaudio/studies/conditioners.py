"""A comparison of conditioners on held-out pictures: how well each leads AudioLDM to the sounds of a picture.

A conditioner makes the CLAP embedding that AudioLDM starts from: SSV2A from CLIP's embedding and the detected objects,
CIAP from the pixels, a mapper from CLIP's embedding alone. All later stages are the same, with the same seeds.

45 pictures show one animal (five of each), which should be the tagger's top class. 36 pictures show two animals (each
pair once), which should be the two top classes. Pictures are composites on held-out backgrounds, in which every animal
is clearly visible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

from svdaudio.figures import Figure, at_least, mean_figure
from svdaudio.mini import farm
from svdaudio.studies.edits import write_picture
from svdaudio.studies.faders import Scene, draw_scene
from svdaudio.studies.pairs import Row

SCENES_SEED = 90_045
N_ONES, N_TWOS = 45, 36
SSV2A = "ssv2a"
CONDITIONERS: Mapping[str, str] = {SSV2A: "baseline", "ciap": "ciap", "mapper": "mapper"}
"""Conditioner → the method that uses it to make a picture's sound."""
SOUND = "original"
ONE, TWO = at_least(0.95), at_least(0.80)
BELOW = at_least(-0.03)
"""Goal: least difference from SSV2A on one animal."""


@dataclass(frozen=True, kw_only=True)
class ConditionerStudy:
    """The pictures, the runs, and the figures of their results."""

    folder: Path
    scene_seed: int = SCENES_SEED
    n_ones: int = N_ONES
    n_twos: int = N_TWOS

    @cached_property
    def scenes(self) -> dict[str, Scene]:
        """Every picture by its name."""
        ones = [(name,) for name in (farm.CLASSES * self.n_ones)[: self.n_ones]]
        twos = [*combinations(farm.CLASSES, 2)][: self.n_twos]
        drawn = [draw_scene(animals, number, seed=self.scene_seed) for number, animals in enumerate([*ones, *twos])]
        return {f"{number:02d}-{scene.name}": scene for number, scene in enumerate(drawn)}

    def rows(self) -> list[Row]:
        """Write the pictures as PNG, and return them as the rows of a batch.

        Raises:
            StoreError: the folder cannot be written.
        """
        return [
            Row(
                name=name,
                files={SOUND: write_picture(self.folder / "scenes" / f"{name}.png", scene.picture)},
                parameters={},
                where=name,
            )
            for name, scene in self.scenes.items()
        ]

    def right(self, scores: Mapping[str, Mapping[str, float]]) -> dict[int, list[float]]:
        """Number of animals → for each picture 1 if its animals have the highest scores of all classes, else 0.

        Args:
            scores: picture → class → score of its sound.
        """
        found: dict[int, list[float]] = {1: [], 2: []}
        for name, scene in self.scenes.items():
            ranked = sorted(scores[name], key=scores[name].__getitem__, reverse=True)
            found[len(scene.animals)].append(float(set(ranked[: len(scene.animals)]) == set(scene.animals)))
        return found

    def figures(self, scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, Sequence[Figure]]:
        """The figures of each conditioner, with 95 % bootstrap intervals over the pictures.

        Args:
            scores: conditioner → picture → class → score of its sound.
        """
        right = {conditioner: self.right(found) for conditioner, found in scores.items()}
        figures: dict[str, Sequence[Figure]] = {}
        for conditioner, found in right.items():
            row = [
                mean_figure("one animal: it is the top class", found[1], goal=ONE),
                mean_figure("two animals: they are the two top classes", found[2], goal=TWO),
            ]
            if conditioner != SSV2A and SSV2A in right:
                for n, what, goal in ((1, "one animal", BELOW), (2, "two animals", None)):
                    apart = [own - plain for own, plain in zip(found[n], right[SSV2A][n], strict=True)]
                    row.append(mean_figure(f"{what}: less {SSV2A}", apart, goal=goal))
            figures[conditioner] = row
        return figures


def markdown(figures: Mapping[str, Sequence[Figure]], *, command: str, bundle: str) -> str:
    """The figures as a page of Markdown.

    Args:
        figures: of each conditioner.
        command: the command that measured them.
        bundle: name of the bundle of the runs.
    """
    lines = [
        f"`{command}`: bundle {bundle}, means with 95 % bootstrap intervals over the pictures.",
        "",
        "| conditioner | figure | value [95 % interval] | pictures | goal |",
        "|---|---|---|---|---|",
    ]
    for conditioner, row in figures.items():
        lines += [f"| {conditioner} | {one.name} | {one} | {one.n} | {one.goal or ''} |" for one in row]
    return "\n".join(lines) + "\n"
