"""The page of a study or an ablation: tables, response curves, heat maps and bars, from plain values.

page = StudyPage(title="α and β", lead="…", command="svdaudio study …", bundle="mini", sections=[Table(…)])
write_study_page(folder / "study.html", page)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from svdaudio.figures import Figure
from svdaudio.files import write_bytes
from svdaudio.pages.render import render

Cell = str | float | int | Figure | None
"""A `Figure` is shown with its interval and sorted by its value; None is an empty cell."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table that readers can sort and filter."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    """One cell per column."""
    note: str = ""
    """An explanation of the columns, in a sentence or two."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a chart, with a ribbon between `low` and `high` if they are given."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    """Lower ends of the 95 % intervals, one per `x`."""
    high: Sequence[float] | None = None
    n: int | None = None
    """Number of samples behind each point."""


@dataclass(frozen=True, kw_only=True)
class Curves:
    """A line chart."""

    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """A number for every combination of two parameters' values; the best one is marked."""

    title: str
    x_label: str
    y_label: str
    x: Sequence[str]
    y: Sequence[str]
    values: Sequence[Sequence[float | None]]
    """One row for each of `y`; None where nothing was measured."""
    best: Literal["highest", "lowest", "none"] = "highest"
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Bars:
    """A bar chart with a number for each name, such as the importance of parameters."""

    title: str
    label: str
    """What the numbers measure, with their unit."""
    bars: Mapping[str, float | Figure]
    note: str = ""


Section = Table | Curves | HeatMap | Bars


@dataclass(frozen=True, kw_only=True)
class StudyPage:
    """A page: the question, the results, and the command that reproduces them."""

    title: str
    lead: str
    """The answer in a sentence or two."""
    command: str
    bundle: str
    sections: Sequence[Section]
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    """More facts for the heading, such as {"scenes": "72", "seeds": "3"}."""


def write_study_page(path: Path, page: StudyPage) -> Path:
    """Write a study's page as one HTML file that opens offline; return its path.

    Raises:
        StoreError: the file cannot be written.
    """
    write_bytes(path.absolute(), study_html(page).encode())
    return path


def study_html(page: StudyPage) -> str:
    """A study's page as HTML; every text in it is escaped."""
    return render(
        "study.html.j2",
        scripts=("uplot.min.js", "study.js"),
        styles=("page.css", "uplot.min.css", "study.css"),
        title=page.title,
        page=page,
        sections=[(type(section).__name__, section) for section in page.sections],
        charts={
            str(number): _chart(section) for number, section in enumerate(page.sections) if isinstance(section, Curves)
        },
        text=cell_text,
        value=_sort_value,
        shares=_shares,
        best=_best,
        bounds=_bounds,
    )


def cell_text(cell: Cell) -> str:
    """A cell as displayed: figures with their interval and number of samples, numbers to four digits."""
    if cell is None:
        return "–"
    if isinstance(cell, Figure):
        return str(cell)
    if isinstance(cell, float):
        return "–" if math.isnan(cell) else f"{cell:.4g}".replace("-", "−")
    return str(cell)


def _sort_value(cell: Cell) -> float | str:
    if isinstance(cell, Figure):
        return cell.value
    return "" if cell is None or (isinstance(cell, float) and not math.isfinite(cell)) else cell


def _finite(values: Iterable[float | None]) -> list[float | None]:
    """Values for JSON: None in place of those that are not finite."""
    return [None if value is None or not math.isfinite(value) else float(value) for value in values]


def _chart(chart: Curves) -> dict[str, Any]:
    """A chart as data for its script."""
    return {
        "x": chart.x_label,
        "y": chart.y_label,
        "curves": [
            {
                "name": curve.name,
                "x": _finite(curve.x),
                "y": _finite(curve.y),
                "low": None if curve.low is None else _finite(curve.low),
                "high": None if curve.high is None else _finite(curve.high),
            }
            for curve in chart.curves
        ],
    }


def _known(chart: HeatMap) -> list[float]:
    return [value for row in chart.values for value in row if value is not None and math.isfinite(value)]


def _shares(chart: HeatMap) -> list[list[float | None]]:
    """The position of each value between the lowest, 0, and the highest, 1."""
    known = _known(chart)
    low, span = (min(known), max(known) - min(known)) if known else (0.0, 0.0)
    return [[None if v is None else (v - low) / span if span else 0.5 for v in _finite(row)] for row in chart.values]


def _best(chart: HeatMap) -> float | None:
    known = _known(chart)
    if not known or chart.best == "none":
        return None
    return max(known) if chart.best == "highest" else min(known)


def _bounds(chart: Bars) -> list[dict[str, Any]]:
    """Each bar in per cent of the axis, which extends from the lowest end, or 0 if that is lower, to the highest."""
    rows = [
        (name, one if isinstance(one, Figure) else Figure(name=name, value=float(one), n=0))
        for name, one in chart.bars.items()
    ]
    ends = [0.0, *(end for _, one in rows for end in (one.value, one.low, one.high) if end is not None)]
    low, span = min(ends), (max(ends) - min(ends)) or 1.0

    def place(value: float) -> float:
        return round(100 * (value - low) / span, 2)

    return [
        {
            "name": name,
            "text": str(one),
            "left": min(place(0.0), place(one.value)),
            "width": abs(place(one.value) - place(0.0)),
            "low": None if one.low is None else place(one.low),
            "high": None if one.high is None else place(one.high),
        }
        for name, one in rows
    ]
