"""The results of an ablation: tables with intervals, rows for a file, and a summary in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from svdaudio.figures import Figure, mean_figure
from svdaudio.methods.manipulate import LEAST_REACH_DEGREES
from svdaudio.pages.study import Table
from svdaudio.studies import edits, faders
from svdaudio.studies.ablation import (
    CLAP,
    CURVE_KS,
    FADE,
    FOUR_DROPPED,
    FOUR_WAY,
    ORIGINAL,
    PARTS,
    PLAIN,
    SETTINGS,
    SWEPT_PARAMETERS,
    UNSCALED,
    WITH_SOUND,
    WITHOUT_BOOSTED,
    Group,
    Part,
)
from svdaudio.studies.ablation_embeddings import (
    BOOST,
    COLUMNS,
    COLUMNS_NOTE,
    FROM_EDITED,
    FROM_FOUR_WAY,
    SIMILARITY,
    SUPPRESS,
    EditEmbeddings,
)
from svdaudio.studies.ablation_study import MuteOutcome
from svdaudio.studies.sweep import setting_name

LEAST_CHANGE = 0.05
"""Least mean difference of a score that counts as an effect, if its interval excludes 0."""
LEAST_SHOWN = 0.001
"""Smaller mean differences count as no effect, even if the interval excludes 0."""
ROLES: tuple[str, ...] = ("removed", "added", "kept")
"""Columns of the classes of a case; a mute removes one and keeps the other."""
HEARD = tuple(dict.fromkeys((ORIGINAL, PLAIN, *(one.name for one in WITH_SOUND))))
"""Settings whose sounds are scored, with the plain sounds of both pictures."""

Subject = Literal["factors", "sounds", "mutes", "range", "centring", "mix"]
"""The subjects of the summary, the answer first."""

EDIT_MARGINS = edits.MARGINS
MUTE_MARGINS: Mapping[str, Callable[[MuteOutcome, str], float]] = {
    "fall of the muted": lambda one, setting: one.fall(setting),
    "absolute change of the other": lambda one, setting: one.change(setting),
}


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """The results of an ablation."""

    embeddings: Mapping[tuple[str, str, str], EditEmbeddings]
    """Classes removed, added and kept in an edit → measurements of its embeddings."""
    edits: Sequence[edits.Outcome]
    """Outcomes of the edits that have a sound for every setting; empty if no sounds are made."""
    mutes: Sequence[MuteOutcome]
    """The same for mutes."""

    def moved(self, setting: str, column: str) -> Figure | None:
        """The mean of a column over the edits that have it; None if no edit has it."""
        values = [row[column] for one in self.embeddings.values() if column in (row := one.columns.get(setting, {}))]
        return mean_figure(COLUMNS[column], values) if values else None

    def heard(self, setting: str) -> tuple[Figure, ...]:
        """Figures of the edits' sounds with a setting, against the original picture's sound."""
        return edits.figures(self.edits, setting)

    def muted(self, setting: str) -> tuple[Figure, ...]:
        """Figures of the mutes' sounds with a setting, against the picture's own sound."""
        falls = [one.fall(setting) for one in self.mutes]
        return (
            mean_figure(f"falls by ≥ {faders.FALL:g}", [float(fall >= faders.FALL) for fall in falls]),
            mean_figure("mean fall of the muted", falls),
            mean_figure("mean absolute change of the other", [one.change(setting) for one in self.mutes]),
        )

    def compared(self, part: Part) -> list[Figure]:
        """Differences of the two settings of a part, edit by edit and then mute by mute."""
        found = [
            mean_figure(name, [of(one, part.with_it) - of(one, part.without) for one in self.edits])
            for name, of in EDIT_MARGINS.items()
            if self.edits
        ]
        return found + [
            mean_figure(name, [of(one, part.with_it) - of(one, part.without) for one in self.mutes])
            for name, of in MUTE_MARGINS.items()
            if self.mutes
        ]

    def alike(self, part: Part) -> Figure | None:
        """Cosine of the CLAP embeddings of a part's two settings, over the edits that have both."""
        both = [one.claps for one in self.embeddings.values() if {part.with_it, part.without} <= one.claps.keys()]
        cosines = [float(claps[part.with_it] @ claps[part.without]) for claps in both]
        return mean_figure("CLAP cosine of the two", cosines) if cosines else None

    # -- tables ----------------------------------------------------------------------------------------------------

    def tables(self) -> list[Table]:
        """The tables of the parts: embeddings, then sounds of edits and mutes, if there are any."""
        found = [self.embedding_table("parts")]
        if self.edits:
            found += [self._edit_table(), self._difference_table()]
        if self.mutes:
            found.append(self._mute_table())
        if self.edits or self.mutes:
            found.insert(0, self.part_table())
        return found

    def part_table(self) -> Table:
        """The effect of each part on the sounds."""
        names = [
            name for name, there in ((EDIT_MARGINS, self.edits), (MUTE_MARGINS, self.mutes)) if there for name in name
        ]
        rows = [[part.name, acts(self.compared(part)), self.alike(part), *self.compared(part)] for part in PARTS]
        return Table(
            title="Part by part: the sound with it minus the sound without it",
            columns=["part", "acts", "CLAP cosine of the two", *names],
            rows=rows,
            note="The first three columns of differences are of edits, the last two of mutes. A part acts if an "
            f"interval excludes 0 and the mean is at least {LEAST_CHANGE}; hardly, if it is at least {LEAST_SHOWN}.",
        )

    def embedding_table(self, group: Group) -> Table:
        """How far the settings of a group move the embeddings."""
        names = [one.name for one in SETTINGS if one.group == group]
        if group == "parts":
            names = [ORIGINAL, PLAIN, *names]
        return Table(
            title=f"Embeddings of {len(self.embeddings)} edits" if group == "parts" else f"{group}: embeddings",
            columns=["setting", *COLUMNS.values()],
            rows=[[name, *(self.moved(name, column) for column in COLUMNS)] for name in names],
            note=COLUMNS_NOTE,
        )

    def _edit_table(self) -> Table:
        rows = [[name, *self.heard(name)] for name in HEARD]
        return Table(
            title=f"Sounds of {len(self.edits)} edits, against the sound of the original picture",
            columns=["setting", *(figure.name for figure in self.heard(FOUR_WAY))],
            rows=rows,
        )

    def _difference_table(self) -> Table:
        rows = [[name, *edits.differences(self.edits, PLAIN, name)] for name in HEARD if name not in (ORIGINAL, PLAIN)]
        return Table(
            title="The same minus plain SSV2A of the edited picture, edit by edit",
            columns=["setting", *EDIT_MARGINS],
            rows=rows,
        )

    def _mute_table(self) -> Table:
        rows = [[name, *self.muted(name)] for name in HEARD if name not in (ORIGINAL, PLAIN)]
        return Table(
            title=f"Sounds of {len(self.mutes)} mutes, against plain SSV2A of the picture",
            columns=["setting", *(figure.name for figure in self.muted(FOUR_WAY))],
            rows=rows,
            note="The picture is its own edit, so plain SSV2A of the edited picture is the sound before.",
        )

    # -- words -----------------------------------------------------------------------------------------------------

    @cached_property
    def reading(self) -> dict[Subject, str]:
        """A summary of the tables, a sentence or two on each subject."""
        found: dict[Subject, str] = {"factors": self._factors()}
        if self.edits or self.mutes:
            found["sounds"] = self._sounds()
        if self.mutes:
            found["mutes"] = self._silence()
        return {**found, "range": self._whole_range(), "centring": self._centred(), "mix": self._mix()}

    def _factors(self) -> str:
        suppress, boost = (self._degrees(FOUR_WAY, column) for column in (SUPPRESS, BOOST))
        share = min(min(one.shares.values()) for one in self.embeddings.values())
        verb = "act" if max(suppress, boost) >= LEAST_REACH_DEGREES else "do not act"
        return (
            f"The factors α and β {verb} at their defaults: on average they turn E_suppress by {suppress:.3f}° and "
            f"E_boost by {boost:.3f}°, and the mix by {self._degrees(UNSCALED, FROM_FOUR_WAY):.3f}°. At least "
            f"{share:.6f} of a region's mean lies in the five components that they scale, so scaling and normalising "
            "cancel out."
        )

    def _whole_range(self) -> str:
        texts = [f"{self._range(group, k)} at K = {k}" for k in CURVE_KS for group in ("α", "β")]
        emptied = self._degrees("α = 0, K = 5", SUPPRESS)
        return (
            f"Over their whole range, {'; '.join(texts)}. α = 0 empties the components that hold the region's mean: "
            f"what is left of E_suppress is {emptied:.0f}° away from it."
        )

    def _range(self, group: Group, k: int) -> str:
        """The largest mean angles of a factor other than 0."""
        column, what = {"α": (SUPPRESS, "E_suppress"), "β": (BOOST, "E_boost")}[group]
        names = [
            one.name
            for one in SETTINGS
            if one.group == group and one.parameters["svd.k"] == k and one.parameters[SWEPT_PARAMETERS[group]]
        ]
        degrees, mix = (max(self._degrees(name, each) for name in names) for each in (column, FROM_FOUR_WAY))
        low = {"α": "0.1 to 1", "β": "1 to 100"}[group]
        return f"{group} from {low} turns {what} by up to {degrees:.2f}° and the mix by up to {mix:.2f}°"

    def _centred(self) -> str:
        rows, patches = [one.name for one in SETTINGS if one.centre is not None][:2]
        turned = {name: self._degrees(name, SUPPRESS) for name in (rows, patches)}
        return (
            "Centring the tokens first: about the mean of all rows the factors turn E_suppress by "
            f"{turned[rows]:.2f}° (the aggregate is that mean), about the mean of the patches by "
            f"{turned[patches]:.2f}° and the mix by {self._degrees(patches, FROM_FOUR_WAY):.2f}°."
        )

    def _mix(self) -> str:
        return (
            f"The mix as a whole turns the global embedding by {self._degrees(FOUR_WAY, FROM_EDITED):.1f}° from the "
            f"edited picture's, without the boosted region by {self._degrees(WITHOUT_BOOSTED, FROM_EDITED):.1f}°. With "
            "the detected objects, the CLAP embedding has a cosine of "
            f"{self._degrees(FOUR_WAY, SIMILARITY):.3f} with that of plain SSV2A; without them, "
            f"{self._degrees(FOUR_DROPPED, SIMILARITY):.3f}."
        )

    def _sounds(self) -> str:
        answers = {part.name: acts(self.compared(part)) for part in PARTS}
        words = {"yes": "Parts that act on the scores", "hardly": f"by less than {LEAST_CHANGE}", "no": "not at all"}
        named = {word: [name for name, one in answers.items() if one == answer] for answer, word in words.items()}
        texts = [f"{word}: {'; '.join(names) or 'none'}" for word, names in named.items()]
        return f"{'. '.join(text[0].upper() + text[1:] for text in texts)}."

    def _silence(self) -> str:
        counts = {one.name: sum(each.fall(one.name) >= faders.FALL for each in self.mutes) for one in WITH_SOUND}
        published = {one.name: counts[one.name] for one in WITH_SOUND if one.form == "svd"}
        best = max(published, key=lambda name: published[name])
        most = f"at most {published[best]} with another setting ({best})" if published[best] else "none with any other"
        return (
            f"Of {len(self.mutes)} mutes the published form silences {counts[FOUR_WAY]} with its defaults and {most}, "
            f"form fade {counts[FADE]}, form clap {counts[CLAP]}."
        )

    def _degrees(self, setting: str, column: str) -> float:
        figure = self.moved(setting, column)
        return float("nan") if figure is None else figure.value

    # -- data ------------------------------------------------------------------------------------------------------

    def values(self) -> dict[str, Any]:
        """Setting → kind of measurement → name → figure, and the same for the parts, as JSON data."""
        settings = (ORIGINAL, PLAIN, *(one.name for one in SETTINGS))
        moved = {name: [f for column in COLUMNS if (f := self.moved(name, column)) is not None] for name in settings}
        found: dict[str, Any] = {name: {"embeddings": _plain(figures)} for name, figures in moved.items()}
        for name in HEARD:
            found[name] |= {"edits": _plain(self.heard(name))} if self.edits else {}
            found[name] |= {"mutes": _plain(self.muted(name))} if self.mutes else {}
        parts = {part.name: _plain(self.compared(part)) for part in PARTS} if self.edits or self.mutes else {}
        return {"settings": found, "parts": parts}

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row per case and setting, all with the same columns; values that were not measured are None."""
        texts = {one.name: setting_name(one.parameters) for one in SETTINGS}
        by_edit = {(one.removed, one.added, one.kept): one for one in self.edits}

        def row(kind: str, roles: Mapping[str, str], setting: str) -> dict[str, Any]:
            return {"kind": kind, **roles, "setting": setting, "parameters": texts.get(setting, "")}

        for names, measured in self.embeddings.items():
            roles = dict(zip(ROLES, names, strict=True))
            outcome = by_edit.get(names)
            for setting, numbers in measured.columns.items():
                moved = {column: numbers.get(column) for column in COLUMNS}
                heard = {} if outcome is None else outcome.sounds.get(setting, {})
                before = outcome.original if outcome is not None and heard else {}
                yield {**row("edit", roles, setting), **moved, **_scores(roles, before, heard)}
        for mute in self.mutes:
            roles = dict(zip(ROLES, (mute.muted, "", mute.other), strict=True))
            for setting, heard in mute.sounds.items():
                scores = _scores(roles, mute.original, heard)
                yield {**row("mute", roles, setting), **dict.fromkeys(COLUMNS), **scores}


def acts(differences: Sequence[Figure]) -> str:
    """Whether a difference is beyond chance: "yes", "hardly" if all such differences are small, or "no"."""
    clear = [one for one in differences if one.low is not None and one.high is not None and one.low * one.high > 0]
    largest = max((abs(one.value) for one in clear), default=0.0)
    return "yes" if largest >= LEAST_CHANGE else "hardly" if largest >= LEAST_SHOWN else "no"


def _plain(figures: Sequence[Figure]) -> dict[str, dict[str, Any]]:
    return {f.name: {"value": f.value, "low": f.low, "high": f.high, "n": f.n} for f in figures}


def _scores(
    roles: Mapping[str, str], before: Mapping[str, float], after: Mapping[str, float]
) -> dict[str, float | None]:
    """Scores before and after of the class in each role; None without a score."""
    times = {"before": before, "after": after}
    return {f"{role}.{time}": scores.get(name) for role, name in roles.items() for time, scores in times.items()}
