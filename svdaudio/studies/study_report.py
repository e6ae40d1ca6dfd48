"""The results of a parameter study: a summary in words, tables, response curves, heat maps and importance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from svdaudio.engine.batches import Member, table
from svdaudio.figures import Figure, cluster_weights
from svdaudio.studies.effects import ENOUGH_UNITS, SIGNIFICANT, Effect, effects, weighted_figures
from svdaudio.studies.parameter_study import StudyResults
from svdaudio.studies.responses import Level, averages, grid_means, levels, main_effects
from svdaudio.studies.sweep import setting_name

MAX_LINES = 6
"""Most values of a parameter other than a number that get a line each in response curves."""
MAX_MAPS = 10
"""Most heat maps: those of the most important parameters."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One response curve: means over all settings at each level, with their intervals."""

    name: str
    levels: Sequence[Level]
    figures: Sequence[Figure]
    """One for each level; `n` counts pairs of scene and seed, each the mean over the settings."""


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """Means over all settings at each pair of two parameters' levels."""

    across: str
    down: str
    columns: Sequence[str]
    rows: Sequence[str]
    means: Sequence[Sequence[float | None]]
    """A row for each of `rows`."""


class Report:
    """The results of a study, ready for display.

    Args:
        results: of the study.
    """

    def __init__(self, results: StudyResults) -> None:
        self.results = results
        self.plan = results.plan
        self.spec = results.plan.spec
        n_settings, n_scenes, n_seeds = results.values.shape
        self._flat = results.values.reshape(n_settings, -1)
        self._weights = cluster_weights(n_scenes, n_seeds)
        self._searched = slice(results.n_added, None)

    @cached_property
    def effects(self) -> list[Effect]:
        """The effect of every setting."""
        return effects(self.results.values)

    @cached_property
    def levels(self) -> dict[str, list[Level]]:
        """Parameter → its levels over the settings of the search, for parameters with at least two."""
        settings = self.results.settings[self._searched]
        found = {name: levels(settings, name) for name in self.spec.search.names}
        return {name: own for name, own in found.items() if len(own) > 1}

    def setting_text(self, place: int) -> str:
        """A setting in words."""
        return setting_name(self.results.settings[place]) or "no parameter changed"

    @property
    def lead(self) -> str:
        """Which setting is best, and whether it differs from the first beyond chance."""
        best, n_settings = self.results.best, len(self.results.settings)
        effect = None if best is None else self.effects[best]
        if best is None or effect is None or effect.mean is None:
            return "No run has a result."
        word = "highest" if self.spec.maximizes else "lowest"
        mean = f"{effect.mean} over {effect.mean.n} runs ({self.plan.n_text})"
        if n_settings == 1:
            return f"The only setting, {self.setting_text(0)}: {self.spec.objective.text} = {mean}."
        if best == 0:
            return (
                f"Of {n_settings} settings, none is better than the first, {self.setting_text(0)}: "
                f"{self.spec.objective.text} = {mean}."
            )
        equal = [one.mean.value for one in self.effects if one.mean is not None].count(effect.mean.value) - 1
        others = f" (and {equal} more {'has' if equal == 1 else 'have'} the same)" if equal else ""
        return (
            f"Of {n_settings} settings, setting {best + 1} has the {word} {self.spec.objective.text}{others}: "
            f"{self.setting_text(best)}, {mean}, {self._against_first(effect)}"
        )

    def _against_first(self, effect: Effect) -> str:
        difference = effect.difference
        if difference is None:
            return "which cannot be compared with the first setting, which has no run with a result."
        text = f"which differs from the first setting, {self.setting_text(0)}, by {_signed(difference)}"
        if effect.p is None:
            needed = f"at least {ENOUGH_UNITS} are needed"
            return f"{text}. {difference.n} paired runs are too few to tell this from chance: {needed}."
        beyond = "beyond chance" if effect.p <= SIGNIFICANT else "no more than chance explains"
        return f"{text}: {beyond} (p = {effect.p:.3f}, adjusted for the choice among {len(self.effects) - 1})."

    # -- tables ----------------------------------------------------------------------------------------------------

    def run_rows(self) -> list[dict[str, Any]]:
        """A row for each setting, scene and seed, all with the same columns."""
        rows: list[dict[str, Any]] = []
        members: list[Member] = []
        names = self.spec.search.names
        plan, values = self.plan, self.results.values
        for place, (setting, runs) in enumerate(zip(self.results.settings, self.results.runs, strict=True)):
            members += [Member(name=name, run=run.id) for name, run in zip(plan.names(setting), runs, strict=True)]
            for i, scene in enumerate(plan.scenes):
                for j, seed in enumerate(plan.seeds):
                    row = {"setting": place + 1, **{name: setting.get(name) for name in names}}
                    objective = values[place, i, j]
                    value = None if np.isnan(objective) else round(float(objective), 6)
                    rows.append({**row, "scene": scene, "seed": seed, "objective": value})
        found = table(members, [run for runs in self.results.runs for run in runs])
        return [
            {**row, **{name: value for name, value in more.items() if name != "name"}}
            for row, more in zip(rows, found, strict=True)
        ]

    def setting_rows(self) -> list[dict[str, Any]]:
        """A row for each setting: its parameters, mean and difference from the first, with intervals."""
        rows: list[dict[str, Any]] = []
        for place, (setting, effect) in enumerate(zip(self.results.settings, self.effects, strict=True)):
            row: dict[str, Any] = {"setting": place + 1}
            row |= {name: setting.get(name) for name in self.spec.search.names}
            row |= {"n": effect.mean.n if effect.mean else 0}
            row |= {"n_scenes": len(self.plan.scenes), "n_seeds": len(self.plan.seeds)}
            row |= _ends("mean", effect.mean) | _ends("difference", effect.difference)
            row["p"] = None if effect.p is None else round(effect.p, 6)
            rows.append(row)
        return rows

    # -- responses -------------------------------------------------------------------------------------------------

    @cached_property
    def importance(self) -> dict[str, Figure]:
        """Parameter → its importance, the most important first; empty if all settings are alike.

        For a grid and for random settings, the share of variance, with an interval from the same resamples as all
        other figures; for Optuna, its own estimate.
        """
        if self.results.importance is not None:
            n = len(self.results.settings) - self.results.n_added
            found = {name: Figure(name=name, value=value, n=n) for name, value in self.results.importance.items()}
            return dict(sorted(found.items(), key=lambda item: -item[1].value))
        flat = self._flat[self._searched]
        if not self.levels or not flat.size:
            return {}
        balanced = self.spec.search.kind == "grid"
        everything = np.full((1, flat.shape[1]), 1.0 / flat.shape[1])
        shares = main_effects(_resampled(flat, everything)[:, 0], self.levels, balanced=balanced)
        resampled = _resampled(flat, self._weights) if flat.shape[1] > 1 else np.empty((len(flat), 0))
        draws = [main_effects(means, self.levels, balanced=balanced) for means in resampled.T]
        found: dict[str, Figure] = {}
        for name, share in shares.items():
            each = [one[name] for one in draws if name in one]
            low, high = np.quantile(each, (0.025, 0.975)) if each else (None, None)
            found[name] = Figure(
                name=name, value=share, low=None if low is None else float(low),
                high=None if high is None else float(high), n=int((~np.isnan(flat)).sum()),
            )  # fmt: skip
        return dict(sorted(found.items(), key=lambda item: -item[1].value))

    @property
    def interaction_share(self) -> float | None:
        """The share of variance that no main effect explains; None if shares do not sum to 1."""
        is_grid = self.spec.search.kind == "grid" and self.results.importance is None
        if not is_grid or not self.importance or self.results.n_missing:
            return None
        return max(0.0, 1.0 - sum(one.value for one in self.importance.values()))

    def curves(self) -> dict[str, list[Line]]:
        """Numeric parameter → its response curves: one for each value of the first non-numeric parameter."""
        numeric = {name: own for name, own in self.levels.items() if own[0].x is not None}
        other = next((name for name, own in self.levels.items() if own[0].x is None), None)
        lines = self.levels[other] if other is not None and len(self.levels[other]) <= MAX_LINES else None
        found: dict[str, list[Line]] = {}
        for name, own in numeric.items():
            if lines is None:
                found[name] = [self._line("all settings", own, None)]
            else:
                found[name] = [self._line(f"{other}={one.label}", own, one) for one in lines]
        return {name: [line for line in each if line.figures] for name, each in found.items()}

    def _line(self, name: str, own: Sequence[Level], within: Level | None) -> Line:
        flat = self._flat[self._searched]
        kept = [
            (level, level.settings if within is None else np.intersect1d(level.settings, within.settings))
            for level in own
        ]
        kept = [(level, places) for level, places in kept if places.size]
        if not kept:
            return Line(name=name, levels=[], figures=[])
        rows = averages(flat, [places for _, places in kept])
        pairs = zip(kept, weighted_figures(name, rows, self._weights), strict=True)
        there = [(level, figure) for (level, _), figure in pairs if figure is not None]
        return Line(name=name, levels=[level for level, _ in there], figures=[figure for _, figure in there])

    def interactions(self) -> list[Interaction]:
        """Heat maps of pairs of parameters, the most important first."""
        names = [name for name in self.importance if name in self.levels] or list(self.levels)
        pairs = [(one, other) for place, other in enumerate(names) for one in names[:place]]
        means = np.array([np.nan if one.mean is None else one.mean.value for one in self.effects[self._searched]])
        return [
            Interaction(
                across=across,
                down=down,
                columns=[one.label for one in self.levels[across]],
                rows=[one.label for one in self.levels[down]],
                means=grid_means(means, self.levels[across], self.levels[down]),
            )
            for across, down in pairs[:MAX_MAPS]
        ]


def importance_label(report: Report) -> str:
    """A label that says how importance was measured."""
    if report.results.importance is not None:
        return f"importance by {report.results.evaluator}, shares that sum to 1"
    return "share of the variance between settings, 0 to 1"


def _resampled(flat: np.ndarray[Any, Any], weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The mean of each setting in each resample: [setting, resample], NaN if it has no result."""
    there = ~np.isnan(flat)
    sums, shares = np.where(there, flat, 0.0) @ weights.T, there @ weights.T
    return np.where(shares > 0, sums / np.maximum(shares, 1e-300), np.nan)


def _ends(name: str, figure: Figure | None) -> dict[str, float | None]:
    values = (None, None, None) if figure is None else (figure.value, figure.low, figure.high)
    keys = (name, *(f"{name}_{end}" if name != "mean" else end for end in ("low", "high")))
    return {key: None if value is None else round(value, 6) for key, value in zip(keys, values, strict=True)}


def _signed(figure: Figure) -> str:
    interval = f" [{figure.low:+.3f}, {figure.high:+.3f}]" if figure.low is not None and figure.high is not None else ""
    return f"{figure.value:+.3f}{interval}"
