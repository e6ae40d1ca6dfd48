"""The study of `svdaudio evaluate edits`: some of the 72 edits, their scenes and controls, and its files.

study = Study(folder=Path("edits"), kinds=chosen_edits(["cat-duck"]))
prepare(session, study.pairs(), method, common) …          # a batch like any other
study.write(study.outcomes(results), command="…", bundle="mini")
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from svdaudio.engine.batches import write_table
from svdaudio.errors import InputError
from svdaudio.files import write_bytes
from svdaudio.mini.farm import CLASSES
from svdaudio.studies.edits import (
    DIRECT,
    EDITS_SEED,
    METHOD,
    UNSCALED,
    Edit,
    Outcome,
    draw_edit,
    figures,
    markdown,
    ordered_pairs,
    outcome,
    pair_name,
    rows,
    write_edits,
)
from svdaudio.studies.pairs import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

SHOWN = ("added class rises", "removed class falls", "both", "mean absolute change of the kept class")
"""Figures shown in the picture."""


@dataclass(frozen=True, kw_only=True)
class ChosenEdits:
    """A choice of the 72 edits, with its command line and its entry in the record of a batch."""

    KIND: ClassVar[str]
    """Kind of study in records of batches."""
    COMMAND: ClassVar[tuple[str, ...]]
    DEFAULT_SEED: ClassVar[int | None]

    folder: Path
    """Folder for scenes and results."""
    kinds: Sequence[tuple[str, str]]
    """The animal removed and the animal added, for each edit."""
    scene_seed: int | None
    """Seed of the scenes."""

    @property
    def scenes(self) -> Path:
        """The folder of the pictures."""
        return self.folder / "scenes"

    @property
    def flags(self) -> list[str]:
        """The command's own flags."""
        return []

    def kept(self, command: str) -> dict[str, Any]:
        """Itself and its command as JSON data, for the record of its batch."""
        own = {name: getattr(self, name) for name in self._own_fields()}
        edits = [f"{removed}-{added}" for removed, added in self.kinds]
        return {"kind": self.KIND, "folder": str(self.folder.absolute()), "edits": edits, **own, "command": command}

    @classmethod
    def of_record(cls, kept: Mapping[str, Any]) -> tuple[Self, str]:
        """The study and its command, from the result of `kept`."""
        own = {name: kept[name] for name in cls._own_fields()}
        return cls(folder=Path(kept["folder"]), kinds=chosen_edits(kept["edits"]), **own), kept["command"]

    @classmethod
    def _own_fields(cls) -> list[str]:
        """Fields that are keys of the record by their names."""
        return [one.name for one in fields(cls) if one.name not in ("folder", "kinds")]

    def command(self, overrides: Sequence[str], given: Mapping[str, Any], *, config_file: Path | None = None) -> str:
        """The command that reproduces the study.

        Args:
            overrides: texts such as `svd.k=7`.
            given: option ("seed", "bundle") → value.
            config_file: file of parameters, if any.
        """
        words = ["svdaudio", *self.COMMAND]
        if len(self.kinds) < len(ordered_pairs()):
            words += [word for removed, added in self.kinds for word in ("--only", f"{removed}-{added}")]
        words += self.flags
        words += [] if config_file is None else ["--config", str(config_file)]
        words += [word for text in overrides for word in ("--set", text)]
        words += [] if self.scene_seed == self.DEFAULT_SEED else ["--scenes", str(self.scene_seed)]
        words += [word for name, value in given.items() for word in (f"--{name}", str(value))]
        return shlex.join(words)


@dataclass(frozen=True, kw_only=True)
class Study(ChosenEdits):
    """The study of `svdaudio evaluate edits`."""

    KIND = "edits"
    COMMAND = ("evaluate", "edits")
    DEFAULT_SEED = EDITS_SEED

    scene_seed: int = EDITS_SEED
    unscaled: bool = False
    """Whether to add a third control: the method with both factors 1."""

    @property
    def flags(self) -> list[str]:
        """`--unscaled`, if set."""
        return ["--unscaled"] if self.unscaled else []

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants that are run for each edit."""
        return (METHOD, DIRECT, UNSCALED) if self.unscaled else (METHOD, DIRECT)

    @cached_property
    def edits(self) -> list[Edit]:
        """The edits, with their pictures."""
        return [draw_edit(removed, added, seed=self.scene_seed) for removed, added in self.kinds]

    def pairs(self) -> list[Row]:
        """Write the pictures, and return the pairs of every variant of each edit.

        Raises:
            StoreError: the folder cannot be written.
        """
        return write_edits(self.scenes, self.edits, self.variants)

    def outcomes(self, results: Mapping[str, Mapping[str, Any]]) -> list[Outcome]:
        """The outcome of every edit whose variants all have a result.

        Args:
            results: name of the pair → results of its run.
        """
        found: list[Outcome] = []
        for edit in self.edits:
            scores = {variant: results[pair_name(edit, variant)].get("scores", {}) for variant in self.variants}
            if all("manipulated" in one for one in scores.values()):
                found.append(outcome(edit, scores))
        return found

    def write(self, outcomes: Sequence[Outcome], *, command: str, bundle: str) -> dict[str, Path]:
        """Write the table, the page and the picture; return name → path.

        Raises:
            StoreError: the folder cannot be written.
        """
        from svdaudio.views.plots import save

        page = self.folder / "edits.md"
        write_bytes(page, markdown(outcomes, command=command, bundle=bundle).encode())
        return {
            "every edit": write_table(self.folder / "edits.csv", list(rows(outcomes))),
            "page": page,
            "picture": save(_picture(outcomes, bundle), self.folder / "edits.png"),
        }


def chosen_edits(names: Sequence[str] | None) -> list[tuple[str, str]]:
    """Edits by their names ("cat-duck"), each once; all of them if none is named.

    Raises:
        InputError: an edit is unknown.
    """
    there = {f"{removed}-{added}": (removed, added) for removed, added in ordered_pairs()}
    for name in names or ():
        if name not in there:
            raise InputError(f"unknown edit '{name}'", expected="the animals removed and added, such as cat-duck")
    return [there[name] for name in dict.fromkeys(names or there)]


def _picture(outcomes: Sequence[Outcome], bundle: str) -> Drawing:
    import numpy as np

    from svdaudio.views.plots import edit_figures

    shares = {
        variant: {f.name: (f.value, f.low or 0.0, f.high or 0.0) for f in figures(outcomes, variant) if f.name in SHOWN}
        for variant in outcomes[0].sounds
    }
    margins = np.full((len(CLASSES), len(CLASSES)), np.nan)
    for o in outcomes:
        margin = min(o.change(METHOD, o.added), -o.change(METHOD, o.removed))
        margins[CLASSES.index(o.removed), CLASSES.index(o.added)] = margin
    return edit_figures(shares, margins, CLASSES, title=f"{len(outcomes)} edits, bundle {bundle}")
