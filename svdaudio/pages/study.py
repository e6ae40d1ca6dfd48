"""The page of a study or an ablation: its tables, response curves, heat maps and bars, as plain values.

page = StudyPage(title="α and β", lead="…", command="svdaudio study spec.toml", bundle="mini", sections=[Table(…)])
write_study_page(folder / "study.html", page)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from svdaudio.figures import Figure

Cell = str | float | int | Figure | None
"""A `Figure` is shown with its interval, and sorted by its value; None is an empty cell."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table that readers can sort and filter."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    """One cell for each column."""
    note: str = ""
    """What the columns are, in a sentence or two."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a chart, with a ribbon between `low` and `high` where they are given."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    """Lower ends of the 95 % intervals, one for each `x`."""
    high: Sequence[float] | None = None
    n: int | None = None
    """How many samples are behind each point."""


@dataclass(frozen=True, kw_only=True)
class Curves:
    """A chart of lines over one axis."""

    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """A number for every pair of two parameters' values; the best one is marked."""

    title: str
    x_label: str
    y_label: str
    x: Sequence[str]
    y: Sequence[str]
    values: Sequence[Sequence[float | None]]
    """Row by row, one row for each of `y`; None where nothing was measured."""
    best: Literal["highest", "lowest", "none"] = "highest"
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Bars:
    """A number for each name, such as the importance of parameters."""

    title: str
    label: str
    """What the numbers are, with their unit."""
    bars: Mapping[str, float | Figure]
    note: str = ""


Section = Table | Curves | HeatMap | Bars


@dataclass(frozen=True, kw_only=True)
class StudyPage:
    """A page: what was asked, what came out, and the command that gives it again."""

    title: str
    lead: str
    """The answer in a sentence or two."""
    command: str
    bundle: str
    sections: Sequence[Section]
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further facts for the heading, such as {"scenes": "72", "seeds": "3"}."""
