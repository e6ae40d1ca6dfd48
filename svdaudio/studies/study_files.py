"""The files of a parameter study: tables of runs and settings, plots, and the page.

files = write_files(Report(results), command="svdaudio study study.toml")     # name → path
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from svdaudio.engine.batches import write_table
from svdaudio.files import write_bytes
from svdaudio.pages.study import write_study_page
from svdaudio.studies.study_page import study_page
from svdaudio.studies.study_report import Line, Report, importance_label
from svdaudio.views import study_plots
from svdaudio.views.plots import save


def write_files(report: Report, *, command: str) -> dict[str, Path]:
    """Write the tables, the plots and the page; return name → path.

    Args:
        report: the results.
        command: the command that reproduces them, for the page.

    Raises:
        StoreError: the folder cannot be written.
    """
    folder, label = report.plan.study.folder, report.spec.objective.text
    rows = report.run_rows()
    files = {
        "every run": write_table(folder / "study.csv", rows),
        "every run, for programs": write_parquet(folder / "study.parquet", rows),
        "every setting": write_table(folder / "settings.csv", report.setting_rows()),
    }
    if report.results.best is None:
        return files
    curves = {name: {line.name: _points(line) for line in lines} for name, lines in report.curves().items()}
    if curves:
        files["response curves"] = save(study_plots.response_curves(curves, label=label), folder / "curves.png")
    maps = report.interactions()
    if maps:
        drawn = [
            study_plots.PairMap(across=one.across, down=one.down, columns=one.columns, rows=one.rows, means=one.means)
            for one in maps
        ]
        files["pairs of parameters"] = save(study_plots.pair_maps(drawn, label=label), folder / "interactions.png")
    if report.importance:
        bars = {name: (one.value, one.low, one.high) for name, one in report.importance.items()}
        files["importance"] = save(
            study_plots.importance_bars(bars, label=importance_label(report)), folder / "importance.png"
        )
    files["page"] = write_study_page(folder / "study.html", study_page(report, command=command))
    return files


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows with the same columns as Parquet, atomically; a column of several types is text.

    Raises:
        StoreError: the file cannot be written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    columns = {name: _one_type([row[name] for row in rows]) for name in rows[0]} if rows else {}
    buffer = io.BytesIO()
    parquet.write_table(pa.table(columns), buffer)
    write_bytes(path, buffer.getvalue())
    return path


def _one_type(values: list[Any]) -> list[Any]:
    types = {type(value) for value in values if value is not None}
    if types == {int, float}:
        return [None if value is None else float(value) for value in values]
    return values if len(types) <= 1 else [None if value is None else str(value) for value in values]


def _points(line: Line) -> list[study_plots.Point]:
    pairs = zip(line.levels, line.figures, strict=True)
    return [(level.x or 0.0, figure.value, figure.low, figure.high) for level, figure in pairs]
