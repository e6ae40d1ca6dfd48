"""Plots of a parameter study: response curves, heat maps of parameter pairs, and importance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from svdaudio.views.plots import ADDED_COLOUR, SERIES_COLOURS, hide_spines, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Point = tuple[float, float, float | None, float | None]
"""Value of the parameter, mean of the objective, and both ends of its interval."""
N_ACROSS = 3
"""Panels side by side."""
PANEL_IN = (3.6, 2.9)
LONGEST_LABEL = 60
"""Most characters of an objective in the label of an axis."""


@dataclass(frozen=True, kw_only=True)
class PairMap:
    """Means of the objective for pairs of values of two parameters."""

    across: str
    down: str
    columns: Sequence[str]
    rows: Sequence[str]
    means: Sequence[Sequence[float | None]]
    """One row for each of `rows`; None where nothing was measured."""


def response_curves(curves: Mapping[str, Mapping[str, Sequence[Point]]], *, label: str) -> Figure:
    """A panel for each parameter, with lines of means and shaded intervals.

    Args:
        curves: parameter → line → points, in ascending order.
        label: the objective.
    """
    figure, panels = _panels(len(curves))
    for axes, (name, lines) in zip(panels, curves.items(), strict=True):
        for place, (line, points) in enumerate(lines.items()):
            colour = ADDED_COLOUR if len(lines) == 1 else SERIES_COLOURS[(2, 1, 3, 4, 5, 0)[place % 6]]
            x, y, low, high = (np.array(column, np.float64) for column in zip(*points, strict=True))
            axes.plot(x, y, marker="o", markersize=4, color=colour, label=line)
            axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.set_xlabel(name)
        axes.set_ylabel(_short(label), fontsize=8)
        if len(lines) > 1:
            axes.legend(frameon=False, fontsize=8)
        hide_spines(axes)
    return figure


def pair_maps(maps: Sequence[PairMap], *, label: str) -> Figure:
    """A heat map for each pair of parameters, all on one scale.

    Args:
        maps: the heat maps.
        label: the objective.
    """
    figure, panels = _panels(len(maps))
    values = [np.array(one.means, np.float64) for one in maps]
    low, high = min(float(np.nanmin(one)) for one in values), max(float(np.nanmax(one)) for one in values)
    for axes, one, means in zip(panels, maps, values, strict=True):
        axes.imshow(np.ma.masked_invalid(means), vmin=low, vmax=high, cmap="viridis", aspect="auto")
        axes.set_xticks(range(len(one.columns)), list(one.columns), rotation=30, ha="right", fontsize=8)
        axes.set_yticks(range(len(one.rows)), list(one.rows), fontsize=8)
        axes.set_xlabel(one.across)
        axes.set_ylabel(one.down)
    figure.colorbar(panels[0].images[0], ax=list(panels), shrink=0.85, label=_short(label))
    return figure


def importance_bars(bars: Mapping[str, tuple[float, float | None, float | None]], *, label: str) -> Figure:
    """A bar for each parameter, with its interval where there is one.

    Args:
        bars: name → value and the ends of its interval.
        label: of the axis.
    """
    figure = new_figure(6.4, 1.2 + 0.35 * len(bars))
    axes = figure.subplots()
    for place, (value, low, high) in enumerate(bars.values()):
        axes.barh(place, value, color=ADDED_COLOUR)
        if low is not None and high is not None:
            axes.plot([low, high], [place, place], color="black", linewidth=1.5)
    axes.set_yticks(range(len(bars)), list(bars))
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel(label)
    hide_spines(axes)
    return figure


def _panels(n: int) -> tuple[Figure, list[Any]]:
    """A figure with n panels, and the panels."""
    across = min(n, N_ACROSS)
    down = -(-n // N_ACROSS)
    figure = new_figure(PANEL_IN[0] * across + 0.6, PANEL_IN[1] * down)
    panels = list(figure.subplots(down, across, squeeze=False).ravel())
    for spare in panels[n:]:
        spare.set_visible(False)
    return figure, panels[:n]


def _short(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"
