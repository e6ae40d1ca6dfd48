"""A test of mutes, faders and stems on held-out scenes, for each form of the edit.

Scenes are held-out composites (held-out backgrounds, a separate seed): 36 of two animals, each pair once, and 24 of
three. Every object is selected by one click on the deepest point of its known mask, and segmented like a user's object.

72 mutes: each animal of a pair is silenced; its score should fall by at least 0.5, and the other's should stay.
36 faders: the first animal of a pair at amplitudes 0, ¼, ½, ¾, 1; its logit should follow.
24 mutes among three: one animal is silenced.
24 sets of stems: each of three animals has its own sound, in which it should score highest.

The published form ("svd") has the same picture as original and edited, and removes the muted animal.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from svdaudio.figures import Figure, at_least, at_most, mean_figure
from svdaudio.mini import farm
from svdaudio.mini.composites import Composite, compose
from svdaudio.studies.edits import SIZE_PX, deepest, write_picture
from svdaudio.studies.pairs import Row

FADERS_SEED = 90_036
N_TRIOS = 24
LEAST_SHARES = {1: 0.03, 2: 0.03, 3: 0.025}
"""Number of animals → least share of the picture that each of them covers."""
N_TRIES = 400
AMPLITUDES = (0.0, 0.25, 0.5, 0.75, 1.0)
FALL = 0.5
HEARD = 0.6
FORMS = ("svd", "fade", "clap", "stems")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A picture of one to three animals."""

    animals: tuple[str, ...]
    picture: Composite

    @property
    def name(self) -> str:
        """Its name in the table."""
        return "-".join(self.animals)

    @property
    def objects(self) -> dict[str, Any]:
        """Each animal with one click."""
        return {name: {"points": [[*deepest(self.picture.mask(at)), 1]]} for at, name in enumerate(self.animals)}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One sound to make: a scene, the gains of its animals, and a form."""

    scene: Scene
    form: str
    gains: Mapping[str, float | str]

    @property
    def name(self) -> str:
        """Its name in the batch."""
        changed = [f"{name} {gain if isinstance(gain, str) else f'{gain:.3g}'}" for name, gain in self.gains.items()]
        return ", ".join([self.scene.name, self.form, *changed])


def draw_scene(animals: Sequence[str], number: int, *, seed: int) -> Scene:
    """Compose a scene of these animals: the first random draw in which each is clearly visible."""
    indices = [farm.CLASSES.index(name) for name in animals]
    for attempt in range(N_TRIES):
        picture = compose(
            np.random.default_rng((seed, number, attempt)),
            size=SIZE_PX,
            classes=indices,
            backgrounds=farm.HELD_OUT_BACKGROUNDS,
            invented_backgrounds=0.0,
        )
        if min(float(picture.mask(at).mean()) for at in range(len(animals))) >= LEAST_SHARES[len(animals)]:
            return Scene(animals=tuple(animals), picture=picture)
    raise RuntimeError(f"no draw of {', '.join(animals)} shows every animal")


@dataclass(frozen=True, kw_only=True)
class FaderStudy:
    """The cases to run, and the figures of their results."""

    folder: Path
    forms: tuple[str, ...] = FORMS
    scene_seed: int = FADERS_SEED
    n_pairs: int = 36
    """Number of pairs of animals, at most 36."""
    n_trios: int = N_TRIOS

    @cached_property
    def pairs(self) -> list[Scene]:
        """The scenes of two animals."""
        chosen = list(itertools.combinations(farm.CLASSES, 2))[: self.n_pairs]
        return [draw_scene(animals, number, seed=self.scene_seed) for number, animals in enumerate(chosen)]

    @cached_property
    def trios(self) -> list[Scene]:
        """The scenes of three animals; over the first 24 each animal is muted two or three times."""
        rng = np.random.default_rng(self.scene_seed)
        every = list(itertools.combinations(farm.CLASSES, 3))
        chosen = [every[int(index)] for index in rng.permutation(len(every))[: self.n_trios]]
        return [
            draw_scene(list(np.roll(animals, number)), 1000 + number, seed=self.scene_seed)
            for number, animals in enumerate(chosen)
        ]

    def mutes(self, form: str) -> list[tuple[Case, str]]:
        """Each case of two animals with one muted, and the name of the muted one."""
        return [(_muted(scene, form, name), name) for scene in self.pairs for name in scene.animals]

    def trio_mutes(self, form: str) -> list[tuple[Case, str]]:
        """Each case of three animals with the first muted."""
        return [(_muted(scene, form, scene.animals[0]), scene.animals[0]) for scene in self.trios]

    def faders(self, form: str) -> list[list[Case]]:
        """For each scene of two animals the cases of one fader, in the order of `AMPLITUDES`."""
        return [[_faded(scene, form, scene.animals[0], amplitude) for amplitude in AMPLITUDES] for scene in self.pairs]

    def stems(self) -> list[Case]:
        """Each scene of three animals as stems."""
        return [Case(scene=scene, form="stems", gains={}) for scene in self.trios]

    def cases(self) -> Iterator[Case]:
        """Every case, each once."""
        seen: set[str] = set()
        for case in self._every_case():
            if case.name not in seen:
                seen.add(case.name)
                yield case

    def _every_case(self) -> Iterator[Case]:
        for form in self.forms:
            if form == "stems":
                yield from self.stems()
                continue
            for case, _ in (*self.mutes(form), *self.trio_mutes(form)):
                yield case
            if form != "svd":  # its factors do not work as faders: scores do not follow α from 0 to 1
                yield from itertools.chain.from_iterable(self.faders(form))

    def rows(self) -> dict[str, list[Row]]:
        """Write the pictures; return the rows of the mixer and of the published method.

        Raises:
            StoreError: the folder cannot be written.
        """
        paths = {s.name: write_picture(self.folder / "scenes" / f"{s.name}.png", s.picture) for s in self._scenes()}
        rows: dict[str, list[Row]] = {"mixer": [], "manipulate": []}
        for case in self.cases():
            path, objects = paths[case.scene.name], case.scene.objects
            if case.form == "svd":
                [muted] = case.gains
                files, parameters = {"original": path, "edited": path}, {"remove": objects[muted]["points"]}
            else:
                files = {"original": path}
                parameters = {"form": case.form, "objects": objects, "gains": dict(case.gains)}
            kind = "manipulate" if case.form == "svd" else "mixer"
            rows[kind].append(Row(name=case.name, files=files, parameters=parameters, where=case.name))
        return rows

    def _scenes(self) -> Iterable[Scene]:
        return itertools.chain(self.pairs, self.trios)

    def figures(self, results: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Figure]]:
        """The figures of each form, with 95 % bootstrap intervals over the scenes.

        Args:
            results: name of the case → scores, sound → class → score.
        """
        found: dict[str, list[Figure]] = {}
        for form in self.forms:
            if form == "stems":
                found[form] = self._stem_figures(results)
                continue
            found[form] = [*self._mute_figures(form, results)]
            if form != "svd":
                found[form].append(self._fader_figure(form, results))
            found[form] += self._trio_figures(form, results)
        return found

    def _mute_figures(self, form: str, results: Mapping[str, Any]) -> list[Figure]:
        falls: list[float] = []
        changes: list[float] = []
        for case, muted in self.mutes(form):
            before, after = _before_and_after(results[case.name])
            falls.append(float(before[muted] - after[muted] >= FALL))
            changes += [abs(after[name] - before[name]) for name in case.scene.animals if name != muted]
        return [
            mean_figure("muted, of two: falls by ≥ 0.5", falls, goal=at_least(0.95)),
            mean_figure("absolute change of the other", changes, goal=at_most(0.05)),
        ]

    def _fader_figure(self, form: str, results: Mapping[str, Any]) -> Figure:
        correlations: list[float] = []
        for cases in self.faders(form):
            logits = [_logit(_before_and_after(results[case.name])[1][case.scene.animals[0]]) for case in cases]
            correlations.append(rank_correlation(AMPLITUDES, logits))
        return mean_figure("rank correlation of gain and logit", correlations, goal=at_least(0.90))

    def _trio_figures(self, form: str, results: Mapping[str, Any]) -> list[Figure]:
        falls: list[float] = []
        changes: list[float] = []
        heard: list[float] = []
        for case, muted in self.trio_mutes(form):
            before, after = _before_and_after(results[case.name])
            heard += [float(before[name] >= HEARD) for name in case.scene.animals]
            if before[muted] >= HEARD:
                falls.append(float(before[muted] - after[muted] >= FALL))
            changes += [
                abs(after[name] - before[name])
                for name in case.scene.animals
                if name != muted and before[name] >= HEARD
            ]
        return [
            mean_figure("muted, of three, heard before: falls by ≥ 0.5", falls, goal=at_least(0.95)),
            mean_figure("absolute change of the others heard, of three", changes, goal=at_most(0.10)),
            mean_figure("heard at all in the plain sound, of three", heard),
        ]

    def _stem_figures(self, results: Mapping[str, Any]) -> list[Figure]:
        first: list[float] = []
        heard: list[float] = []
        for case in self.stems():
            scores = results[case.name]
            for name in case.scene.animals:
                first.append(float(max(scores[name], key=lambda one: scores[name][one]) == name))
                heard.append(float(scores["mix"][name] >= HEARD))
        return [
            mean_figure("the object is its stem's top class", first, goal=at_least(0.95)),
            mean_figure("heard at all in the sum of stems, of three", heard),
        ]


def rank_correlation(gains: Sequence[float], values: Sequence[float]) -> float:
    """Spearman's rank correlation; 0 if all values are equal."""
    from scipy.stats import spearmanr

    if len(set(values)) == 1:
        return 0.0
    result: Any = spearmanr(gains, values)
    return float(result.statistic)


def markdown(figures: Mapping[str, Sequence[Figure]], *, command: str, bundle: str) -> str:
    """The figures as a page of Markdown: the command, and a table of the forms."""
    names = list(dict.fromkeys(figure.name for row in figures.values() for figure in row))
    by_form = {form: {figure.name: figure for figure in row} for form, row in figures.items()}
    lines = [
        f"`{command}`: bundle {bundle}, means with 95 % bootstrap intervals.",
        "",
        f"| figure | n | {' | '.join(by_form)} | goal |",
        f"|---|---|{'---|' * len(by_form)}---|",
    ]
    for name in names:
        found = [row[name] for row in by_form.values() if name in row]
        cells = " | ".join(str(row.get(name, "–")) for row in by_form.values())
        n = ", ".join(dict.fromkeys(str(figure.n) for figure in found))
        lines.append(f"| {name} | {n} | {cells} | {found[0].goal or ''} |")
    return "\n".join(lines) + "\n"


def _muted(scene: Scene, form: str, name: str) -> Case:
    return Case(scene=scene, form=form, gains={name: "-inf"})


def _faded(scene: Scene, form: str, name: str, amplitude: float) -> Case:
    if amplitude in (0.0, 1.0):
        return Case(scene=scene, form=form, gains={name: "-inf" if not amplitude else 0.0})
    return Case(scene=scene, form=form, gains={name: 20 * math.log10(amplitude)})


def _before_and_after(scores: Mapping[str, Mapping[str, float]]) -> tuple[Mapping[str, float], Mapping[str, float]]:
    return scores["original"], scores["mix"] if "mix" in scores else scores["manipulated"]


def _logit(score: float) -> float:
    clipped = min(max(score, 1e-6), 1 - 1e-6)
    return math.log(clipped / (1 - clipped))
