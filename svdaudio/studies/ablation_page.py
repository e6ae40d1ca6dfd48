"""The files of an ablation: its cases, tables for a document, and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from svdaudio.engine.batches import write_table
from svdaudio.figures import Figure
from svdaudio.files import write_bytes
from svdaudio.pages.study import Bars, Cell, Curve, Curves, HeatMap, Section, StudyPage, Table, write_study_page
from svdaudio.studies.ablation import ALPHAS, BETAS, CURVE_KS, KS, ORIGINAL, PLAIN, SETTINGS, SWEPT_PARAMETERS, Group
from svdaudio.studies.ablation_embeddings import BOOST, COLUMNS, COLUMNS_NOTE, FROM_FOUR_WAY, SUPPRESS
from svdaudio.studies.ablation_figures import HEARD, Ablation, Subject

SWEPT: tuple[Group, ...] = ("K", "α", "β")
LEAD: tuple[Subject, ...] = ("factors", "sounds", "mutes")
"""Subjects at the top of the page."""
DOCUMENTED = {"K": (1, 2, 3, 5, 10, 15), "α": (0.0, 0.1, 0.3, 0.5, 1.0), "β": (1.0, 1.5, 3.0, 10.0, 100.0)}
"""Values of swept parameters that the document shows; the page and the table of all cases have every one."""


def write_files(found: Ablation, folder: Path, *, command: str, bundle: str) -> dict[str, Path]:
    """Write the table of all cases, the tables for a document, and the page; return name → path.

    Raises:
        StoreError: the folder cannot be written.
    """
    document = folder / "ablation.md"
    write_bytes(document, markdown(found, command=command, bundle=bundle).encode())
    return {
        "every case": write_table(folder / "ablation.csv", list(found.rows())),
        "tables": document,
        "page": write_study_page(folder / "ablation.html", page(found, command=command, bundle=bundle)),
    }


def markdown(found: Ablation, *, command: str, bundle: str) -> str:
    """The tables as Markdown, with the command and the summary."""
    facts = f"{len(found.embeddings)} edits" + (f" and {len(found.mutes)} mutes" if found.mutes else "")
    lines = [f"`{command}`: {facts}, bundle {bundle}, means with 95 % bootstrap intervals.", ""]
    lines += [f"- {sentence}" for sentence in found.reading.values()]
    for one in (*found.tables(), _documented(found)):
        lines += ["", f"**{one.title}.**{f' {one.note}' if one.note else ''}", "", *_table_lines(one)]
    if found.edits and all(one.sounds["direct only"] == one.sounds[PLAIN] for one in found.edits):
        lines += ["", f'"direct only" is identical to "{PLAIN}", sound by sound.']
    return "\n".join(lines) + "\n"


def page(found: Ablation, *, command: str, bundle: str) -> StudyPage:
    """The ablation as a page: tables, curves over K, α and β, and heat maps of the factors' reach."""
    more = f"{COLUMNS_NOTE} {found.reading['mix']} {found.reading['centring']}"
    sections: list[Section] = [replace(one, note=more) if one.note == COLUMNS_NOTE else one for one in found.tables()]
    if found.mutes:
        bars = {name: found.muted(name)[1] for name in HEARD if name not in (ORIGINAL, PLAIN)}
        sections.append(Bars(title="Mutes", label="mean fall of the muted animal's score", bars=bars))
    sections += [_over_k(found), *(_over_factor(found, group) for group in ("α", "β"))]
    sections += [
        _map(found, "α", "E_suppress", ALPHAS), _map(found, "β", "E_boost", BETAS),
        *(found.embedding_table(group) for group in SWEPT),
    ]  # fmt: skip
    facts = {"edits": str(len(found.embeddings)), "mutes": str(len(found.mutes)), "settings": str(len(SETTINGS))}
    lead = " ".join(text for subject, text in found.reading.items() if subject in LEAD)
    return StudyPage(
        title="Which parts of the method act", lead=lead, command=command, bundle=bundle, sections=sections, facts=facts
    )


def _documented(found: Ablation) -> Table:
    """The swept settings that the document shows, in one table."""
    rows = [
        [one.name, *(found.moved(one.name, column) for column in COLUMNS)]
        for one in SETTINGS
        if one.group != "parts" and one.parameters[SWEPT_PARAMETERS[one.group]] in DOCUMENTED[one.group]
    ]
    return Table(title="K, α and β: embeddings of the same edits", columns=["setting", *COLUMNS.values()], rows=rows)


def _table_lines(one: Table) -> list[str]:
    rows = [f"| {' | '.join(_text(cell) for cell in row)} |" for row in one.rows]
    return [f"| {' | '.join(one.columns)} |", f"|{'---|' * len(one.columns)}", *rows]


def _text(cell: Cell) -> str:
    return "–" if cell is None else str(cell)


def _curve(name: str, x: Sequence[float], figures: Sequence[Figure | None]) -> Curve:
    there = [(at, figure) for at, figure in zip(x, figures, strict=True) if figure is not None]
    return Curve(
        name=name,
        x=[at for at, _ in there],
        y=[figure.value for _, figure in there],
        low=[figure.value if figure.low is None else figure.low for _, figure in there],
        high=[figure.value if figure.high is None else figure.high for _, figure in there],
        n=max((figure.n for _, figure in there), default=None),
    )


def _over_k(found: Ablation) -> Curves:
    columns = {"E_suppress, α = 0.3": SUPPRESS, "E_boost, β = 1.5": BOOST, "mix, from the four-way mix": FROM_FOUR_WAY}
    curves = [_curve(name, KS, [found.moved(f"K = {k}", column) for k in KS]) for name, column in columns.items()]
    return Curves(
        title="Over K", x_label="K, singular values scaled", y_label="degrees", curves=curves,
        note=found.reading["range"],
    )  # fmt: skip


def _over_factor(found: Ablation, group: Group) -> Curves:
    column, what = {"α": (SUPPRESS, "E_suppress"), "β": (BOOST, "E_boost")}[group]
    low, high, note = {"α": (0.1, 1.0, "Without α = 0, which is in the table."),
                       "β": (1.0, 10.0, "Without β = 100, which is in the table.")}[group]  # fmt: skip
    curves: list[Curve] = []
    for k in CURVE_KS:
        rows = [one for one in SETTINGS if one.group == group and one.parameters["svd.k"] == k]
        rows = [one for one in rows if low <= one.parameters[SWEPT_PARAMETERS[group]] <= high]
        x = [float(one.parameters[SWEPT_PARAMETERS[group]]) for one in rows]
        for name, each in ((what, column), ("mix, from the four-way mix", FROM_FOUR_WAY)):
            curves.append(_curve(f"{name}, K = {k}", x, [found.moved(one.name, each) for one in rows]))
    label = "α, factor that suppresses" if group == "α" else "β, factor that boosts"
    return Curves(title=f"Over {group}", x_label=label, y_label="degrees", curves=curves, note=note)


def _map(found: Ablation, group: Group, what: str, factors: Sequence[float]) -> HeatMap:
    each = [one.suppress if group == "α" else one.boost for one in found.embeddings.values()]
    return HeatMap(
        title=f"Degrees by which {group} turns {what}",
        x_label=group,
        y_label="K",
        x=[f"{factor:g}" for factor in factors],
        y=[str(k) for k in KS],
        values=np.mean(each, axis=0).round(3).tolist(),
        best="none",
        note="Means over the edits.",
    )
