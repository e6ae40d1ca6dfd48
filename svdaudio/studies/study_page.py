"""The content of a parameter study's page; `svdaudio.pages.study` writes it."""

from __future__ import annotations

from svdaudio.pages.study import Bars, Cell, Curve, Curves, HeatMap, Section, StudyPage, Table
from svdaudio.studies.study_report import Line, Report, importance_label
from svdaudio.studies.trials import FANOVA, PED_ANOVA

INTERVALS = (
    "Intervals are 95 % percentile intervals of a bootstrap over scenes, and over seeds within each scene{}. "
    "n counts runs."
)
ONE_SCENE = "; with one scene they cover the choice of seeds alone"
BALANCED = (
    "The main effect of each parameter, as a share of the variance of the settings' means; interactions explain "
    "{:.2f} of it. Chance adds to the variance, too, so shares mean little if no setting differs beyond chance."
)
DRAWN = (
    "The main effect of each parameter, as a share of the variance of the settings' means, minus what levels explain "
    "by chance. The settings are random, so shares need not sum to 1."
)
MISSING = "The main effect of each parameter, as a share of the variance of the settings' means. Some runs are missing."
OPTUNA = {
    FANOVA: "The share of the variance of a random forest fitted to the trials (Optuna's fANOVA).",
    PED_ANOVA: "How far the best tenth of the trials is from all of them in the distribution of each parameter "
    "(Optuna's PED-ANOVA, as scikit-learn is not installed).",
}
GATHERED = " Trials concentrate where the objective is good, so a parameter that hardly varied may look unimportant."


def study_page(report: Report, *, command: str) -> StudyPage:
    """The page of a study.

    Args:
        report: the results.
        command: the command that reproduces them.
    """
    spec, plan, results = report.spec, report.plan, report.results
    sections: list[Section] = [_settings(report), *_curves(report)]
    label = f"mean of {spec.objective.text}"
    best = "highest" if spec.maximizes else "lowest"
    sections += [
        HeatMap(
            title=f"{one.across} and {one.down}",
            x_label=one.across,
            y_label=one.down,
            x=one.columns,
            y=one.rows,
            values=one.means,
            best=best,
            note=f"The {label}, over all settings of each cell.",
        )
        for one in report.interactions()
    ]
    if report.importance:
        sections.append(
            Bars(
                title="Importance of the parameters",
                label=importance_label(report),
                bars=report.importance,
                note=_importance_note(report),
            )
        )
    facts = {
        "objective": f"{spec.objective.text}, {'more' if spec.maximizes else 'less'} is better",
        "method": spec.method.name,
        "search": f"{spec.search.kind}, {len(results.settings)} settings",
        "scenes": str(len(plan.scenes)),
        "seeds": ", ".join(str(seed) for seed in plan.seeds),
        "runs": f"{results.values.size - results.n_missing} of {results.values.size} with a result",
    }
    return StudyPage(
        title=spec.title, lead=report.lead, command=command, bundle=plan.bundle, sections=sections, facts=facts
    )


def _settings(report: Report) -> Table:
    names = report.spec.search.names
    columns = ["setting", *names, "n", "mean", "difference from the first", "p, adjusted"]
    rows: list[list[Cell]] = []
    for place, (setting, effect) in enumerate(zip(report.results.settings, report.effects, strict=True)):
        marks = {0: "1, the baseline", report.results.best: f"{place + 1}, the best"}
        values: list[Cell] = [_cell(setting.get(name)) for name in names]
        n = 0 if effect.mean is None else effect.mean.n
        rows.append([marks.get(place, str(place + 1)), *values, n, effect.mean, effect.difference, effect.p])
    one = ONE_SCENE if len(report.plan.scenes) == 1 else ""
    note = (
        f"{INTERVALS.format(one)} Differences are paired: the same scenes and seeds. The best of many settings looks "
        "better than it is, as it was chosen by the same runs; p accounts for that choice."
    )
    if report.spec.search.kind == "optuna":
        note += " Optuna's trials depend on each other's outcomes, so p may be too small."
    return Table(title="Settings", columns=columns, rows=rows, note=note)


def _cell(value: object) -> Cell:
    return value if isinstance(value, int | float | str) and not isinstance(value, bool) else str(value)


def _curves(report: Report) -> list[Section]:
    note = "Means over all settings at each value, with 95 % intervals; n counts pairs of scene and seed."
    if report.spec.search.kind != "grid":
        note += " The settings were not balanced: other parameters may differ along a curve."
    return [
        Curves(
            title=f"Response to {name}",
            x_label=name,
            y_label=report.spec.objective.text,
            curves=[_curve(line) for line in lines],
            note=note,
        )
        for name, lines in report.curves().items()
    ]


def _curve(line: Line) -> Curve:
    ends = [(one.low, one.high) for one in line.figures]
    low = [end for end, _ in ends if end is not None]
    high = [end for _, end in ends if end is not None]
    whole = len(low) == len(high) == len(ends)
    return Curve(
        name=line.name,
        x=[one.x or 0.0 for one in line.levels],
        y=[one.value for one in line.figures],
        low=low if whole else None,
        high=high if whole else None,
        n=min((one.n for one in line.figures), default=None),
    )


def _importance_note(report: Report) -> str:
    if report.results.importance is not None:
        return OPTUNA[report.results.evaluator] + GATHERED
    if report.spec.search.kind != "grid":
        return DRAWN
    share = report.interaction_share
    return MISSING if share is None else BALANCED.format(share)
