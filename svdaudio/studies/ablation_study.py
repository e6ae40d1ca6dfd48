"""An ablation as a batch: its edits and mutes, the runs of each setting, and their outcomes.

study = AblationStudy(folder=Path("ablation"), kinds=chosen_edits(["cat-duck"]))
for selection, rows in study.rows().items(): …              # a batch like any other
study.edits_heard(scores), study.mutes_heard(scores)

An edit is one of the 72 of `svdaudio.studies.edits`. A mute removes one of two animals from a scene of
`svdaudio.studies.faders`: the picture is its own edit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from svdaudio.mini import farm
from svdaudio.studies import edits, faders
from svdaudio.studies.ablation import CLAP, FADE, FOUR_WAY, ORIGINAL, PLAIN, SETTINGS, WITH_SOUND, Setting
from svdaudio.studies.ablation_embeddings import (
    CONDITIONS,
    MIX_TARGETS,
    EditEmbeddings,
    condition,
    edit_embeddings,
    with_conditions,
)
from svdaudio.studies.edit_study import ChosenEdits
from svdaudio.studies.pairs import Row

if TYPE_CHECKING:
    from svdaudio.session import Session
    from svdaudio.store.runs import RunRecord

Selection = Literal["with the pictures' own sounds", "the edit's sound", "mix", "fade", "clap"]
"""What a run computes: sounds, or only embeddings."""


def _ignore(name: str) -> None:
    del name


@dataclass(frozen=True, kw_only=True)
class Mute:
    """One animal removed from a picture of two."""

    muted: str
    other: str
    scene: faders.Scene

    @property
    def name(self) -> str:
        """Its name in the table."""
        return f"{self.muted}-muted-beside-{self.other}"


@dataclass(frozen=True, kw_only=True)
class MuteOutcome:
    """The result of one mute: class scores of the sounds, each 0 to 1."""

    muted: str
    other: str
    original: Mapping[str, float]
    """Class → score in the sound of the unchanged picture, by plain SSV2A."""
    sounds: Mapping[str, Mapping[str, float]]
    """Setting → class → score."""

    def fall(self, setting: str) -> float:
        """How much the score of the muted animal falls."""
        return self.original[self.muted] - self.sounds[setting][self.muted]

    def change(self, setting: str) -> float:
        """The absolute change of the other animal's score."""
        return abs(self.sounds[setting][self.other] - self.original[self.other])


@dataclass(frozen=True, kw_only=True)
class AblationStudy(ChosenEdits):
    """The study of `svdaudio ablate`: edits, and a mute for each pair of their animals."""

    KIND = "ablation"
    COMMAND = ("ablate",)
    DEFAULT_SEED = None

    scene_seed: int | None = None
    """Seed of the scenes; None for the seeds of `evaluate edits` and `evaluate faders`."""
    sounds: bool = True
    """Whether to make sounds; if not, only the embeddings of the edits are measured."""

    @property
    def flags(self) -> list[str]:
        """`--embeddings-only`, if set."""
        return [] if self.sounds else ["--embeddings-only"]

    @cached_property
    def edits(self) -> list[edits.Edit]:
        """The edits, with their pictures."""
        seed = edits.EDITS_SEED if self.scene_seed is None else self.scene_seed
        return [edits.draw_edit(removed, added, seed=seed) for removed, added in self.kinds]

    @cached_property
    def mutes(self) -> list[Mute]:
        """The mutes: each pair of animals once, the first and the second muted in turn; none without sounds."""
        seed = faders.FADERS_SEED if self.scene_seed is None else self.scene_seed
        found: list[Mute] = []
        pairs: list[tuple[str, str]] = list(itertools.combinations(farm.CLASSES, 2))
        for number, (first, second) in enumerate(pairs if self.sounds else ()):
            orders = [(first, second), (second, first)]
            if chosen := [order for order in orders[:: -1 if number % 2 else 1] if order in self.kinds]:
                muted, other = chosen[0]
                scene = faders.draw_scene((first, second), number, seed=seed)
                found.append(Mute(muted=muted, other=other, scene=scene))
        return found

    def rows(self) -> dict[Selection, list[Row]]:
        """Write the pictures, and return the rows of the batch, grouped by what is computed.

        Raises:
            StoreError: the folder cannot be written.
        """
        pairs = edits.write_edits(self.scenes, self.edits, [edits.METHOD])
        if not self.sounds:
            first, forms = WITH_SOUND[0], {setting.form: setting for setting in WITH_SOUND}
            return {
                "mix": [_row(pair, first) for pair in pairs],
                "fade": [_row(pair, forms["fade"]) for pair in pairs],
                "clap": [_row(pair, forms["clap"]) for pair in pairs],
            }
        for mute in self.mutes:
            path = edits.write_picture(self.scenes / f"{mute.scene.name}.png", mute.scene.picture)
            [points] = mute.scene.objects[mute.muted].values()
            files = {"original": path, "edited": path}
            pairs.append(Row(name=mute.name, files=files, parameters={"remove": points}, where=f"mute {mute.name}"))
        return {
            "with the pictures' own sounds": [_row(pair, WITH_SOUND[0]) for pair in pairs],
            "the edit's sound": [_row(pair, setting) for setting in WITH_SOUND[1:] for pair in pairs],
        }

    def measure(
        self, session: Session, finished: Mapping[str, RunRecord], on_edit: Callable[[str], None] = _ignore
    ) -> dict[tuple[str, str, str], EditEmbeddings]:
        """Measure the embeddings of edits whose runs are finished, by the classes removed, added and kept.

        Args:
            session: with the store of the runs.
            finished: name → run.
            on_edit: receives the name of each edit before it is measured.
        """
        found: dict[tuple[str, str, str], EditEmbeddings] = {}
        for edit in self.edits:
            first, *others = (finished.get(run_name(edit.name, name)) for name in (FOUR_WAY, FADE, CLAP))
            if first is None:
                continue
            on_edit(edit.name)
            models = session.models(session.request_of(first))
            measured = edit_embeddings(session.arrays(first), SETTINGS, models)
            claps = {n: condition(session.arrays(run)) for n, run in zip((FADE, CLAP), others, strict=True) if run}
            found[edit.removed, edit.added, edit.kept] = with_conditions(measured, claps)
        return found

    def edits_heard(self, scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[edits.Outcome]:
        """The outcome of every edit that has a sound for every setting.

        Args:
            scores: name of the run → sound → class → score.
        """
        return [
            edits.Outcome(
                removed=one.removed, added=one.added, kept=one.kept, original=heard[ORIGINAL], sounds=heard
            )
            for one in self.edits
            if (heard := _heard(one.name, scores))
        ]  # fmt: skip

    def mutes_heard(self, scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[MuteOutcome]:
        """The outcome of every mute that has a sound for every setting. Arguments as for `edits_heard`."""
        return [
            MuteOutcome(muted=one.muted, other=one.other, original=heard[ORIGINAL], sounds=heard)
            for one in self.mutes
            if (heard := _heard(one.name, scores))
        ]


def targets_of(selection: Selection) -> tuple[str, ...]:
    """The nodes to compute for embeddings; empty for sounds, whose nodes a variant of the method names."""
    if selection == "mix":
        return (*MIX_TARGETS, "edited.locals")
    return (CONDITIONS[selection],) if selection in CONDITIONS else ()


def run_name(case: str, setting: str) -> str:
    """The name in the batch of an edit's or a mute's run with a setting."""
    return case if setting == FOUR_WAY else f"{case}, {setting}"


def _row(pair: Row, setting: Setting) -> Row:
    name = run_name(pair.name, setting.name)
    return Row(name=name, files=pair.files, parameters={**pair.parameters, **setting.parameters}, where=name)


def _heard(case: str, scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, Mapping[str, float]] | None:
    """Setting → class → score of a case, the plain sounds of its pictures first; None if a sound is missing."""
    found = {setting.name: scores.get(run_name(case, setting.name), {}) for setting in WITH_SOUND}
    if not all("manipulated" in one for one in found.values()):
        return None
    first = found[FOUR_WAY]
    return {
        ORIGINAL: first["original"], PLAIN: first["edited"], **{name: one["manipulated"] for name, one in found.items()}
    }  # fmt: skip
