"""Plans, results, reports and pages of parameter studies, from made-up runs of a small method."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest
from listening_method import PLACE

from svdaudio.errors import ConfigError, RunError
from svdaudio.pages.study import Bars, Curves, HeatMap, Table
from svdaudio.session import Session
from svdaudio.store import RunRecord
from svdaudio.studies.parameter_study import ParameterStudy, StudyPlan
from svdaudio.studies.study_page import study_page
from svdaudio.studies.study_report import Report
from svdaudio.studies.study_spec import spec_of

SPEC = """
method = "listening"
objective = "cat - level.made"
seeds = 2
[[cases]]
name = "a"
sound = "bell.wav"
text = "poem.txt"
picture = "one.png"
[search.parameters]
blend.weight = "0.2,0.8"
blend.n_echoes = "0,1,2"
"""


@pytest.fixture(autouse=True)
def listening(monkeypatch):
    monkeypatch.setenv("SVDAUDIO_METHODS", PLACE)


def study_of(folder, text=SPEC, **more):
    return ParameterStudy(spec=spec_of(tomllib.loads(text), folder / "s.toml"), folder=folder / "out", **more)


def plan_of(folder, text=SPEC, seeds=(1, 2)):
    study = study_of(folder, text)
    return StudyPlan(study=study, settings=study.spec.search.settings(), n_added=0, seeds=seeds, bundle="mini")


def run(cat, state="finished", *, sound="made"):
    found = {"scores": {sound: {"cat": cat, "dog": 0.5}}, "levels": {sound: 0.0}, "result": sound}
    results = found if state == "finished" else {}
    return RunRecord(
        id=f"run-{cat}", kind="listening", created_at="2026", files={}, config={}, state=state, results=results
    )


def results_of(plan, value, state=lambda place: "finished"):
    """Results of a study whose class cat scores `value(setting, seed)`."""
    names = [(setting, name) for setting in plan.settings for name in plan.names(setting)]
    seeds = len(plan.scenes) * list(plan.seeds) * len(plan.settings)
    runs = {
        name: run(value(setting, seed), state=state(place))
        for place, ((setting, name), seed) in enumerate(zip(names, seeds, strict=True))
    }
    return plan.results(plan.settings, runs, n_added=plan.n_added)


def test_the_baseline_comes_first_and_is_added_only_if_the_grid_lacks_it(tmp_path):
    write_files(tmp_path)
    session = Session(tmp_path / "store")
    plan = study_of(tmp_path).plan(session)
    assert (plan.settings[0], plan.n_added, len(plan.settings)) == ({"blend.weight": 0.5, "blend.n_echoes": 0}, 1, 7)
    assert plan.seeds == (42, 43)
    plan = study_of(tmp_path, overrides=("blend.weight=0.8", "seed=5")).plan(session)
    assert (plan.settings[0], plan.n_added, len(plan.settings)) == ({"blend.weight": 0.8, "blend.n_echoes": 0}, 0, 6)
    assert plan.seeds == (5, 6)
    first = study_of(tmp_path, 'baseline = "first"' + SPEC)
    assert first.plan(session).settings[0] == {"blend.weight": 0.2, "blend.n_echoes": 0}
    with pytest.raises(ConfigError, match=r"'blend\.weight' would have no effect: it is searched"):
        study_of(tmp_path, 'baseline = "first"' + SPEC, overrides=("blend.weight=0.8",)).plan(session)
    names = [one.name for one in plan.prepare(session, plan.settings)]
    assert names == [name for setting in plan.settings for name in plan.names(setting)]
    assert names[1] == "a | blend.weight=0.8 blend.n_echoes=0 | seed=6"


def test_studies_are_identified_by_a_digest_of_their_work(tmp_path):
    write_files(tmp_path)
    session = Session(tmp_path / "store")

    def identity(text=SPEC, **more):
        return study_of(tmp_path, text, **more).plan(session).identity(session)

    assert identity() == identity()
    assert identity(SPEC.replace("seeds = 2", "seeds = [42, 43]")) == identity()
    others = [identity(SPEC.replace("cat -", "dog -")), identity(SPEC.replace("seeds = 2", "seeds = 3")),
              identity(SPEC.replace("0,1,2", "0,1")), identity(overrides=("blend.weight=0.4",))]  # fmt: skip
    (tmp_path / "poem.txt").write_text("another text")
    others.append(identity())
    assert len({identity(), *others}) == 5


def write_files(folder):
    import soundfile
    from PIL import Image

    soundfile.write(folder / "bell.wav", np.zeros(2205, np.float32), 22_050)
    (folder / "poem.txt").write_text("rain")
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(folder / "one.png")


def test_a_study_is_restored_from_its_record(tmp_path):
    study = study_of(tmp_path, overrides=("seed=7",), bundle="mini")
    again, command = ParameterStudy.of_record(study.kept("svdaudio study s.toml"))
    assert (again, command) == (study, "svdaudio study s.toml")
    assert study.command(default_folder=study.folder) == f"svdaudio study {tmp_path}/s.toml --set seed=7 --bundle mini"
    assert study.command().endswith(f"--out {tmp_path}/out")


def test_values_are_by_setting_scene_and_seed(tmp_path):
    plan = plan_of(tmp_path)
    results = results_of(plan, lambda setting, seed: setting["blend.weight"] + setting["blend.n_echoes"] + seed / 100)
    assert results.values.shape == (6, 1, 2)
    assert results.values[4, 0].tolist() == pytest.approx([1.81, 1.82])
    assert (results.best, results.n_missing) == (5, 0)
    with pytest.raises(RunError, match="the study's scenes have changed"):
        plan.results(plan.settings, {}, n_added=0)
    with pytest.raises(ConfigError, match=r"unknown score 'kat\.made'.* \(a \| blend"):
        results_of(plan_of(tmp_path, SPEC.replace("cat - level.made", "kat.made")), lambda setting, seed: 0.5)


def test_less_can_be_better_and_missing_runs_are_none(tmp_path):
    plan = plan_of(tmp_path, 'direction = "minimize"' + SPEC)
    results = results_of(plan, lambda s, seed: s["blend.weight"], lambda place: "failed" if place < 4 else "finished")
    assert (results.n_missing, results.best) == (4, 2)
    report = Report(results)
    assert [row["n"] for row in report.setting_rows()] == [0, 0, 2, 2, 2, 2]
    assert "cannot be compared with the first setting" in report.lead
    none = Report(results_of(plan, lambda s, seed: 0.0, lambda place: "failed"))
    assert (none.results.best, none.lead) == (None, "No run has a result.")


def test_the_lead_says_whether_the_best_differs_significantly(tmp_path):
    rng = np.random.default_rng(0)
    seeds = tuple(range(10))

    def lead(step, plan=None):
        plan = plan or plan_of(tmp_path, seeds=seeds)
        return Report(results_of(plan, lambda s, seed: step * s["blend.n_echoes"] + rng.normal(0, 0.1))).lead

    clear, luck = lead(0.5), lead(0.0)
    assert "Of 6 settings, setting " in clear
    assert "has the highest cat - level.made" in clear
    assert "over 10 runs (1 scene × 10 seeds), which differs from the first setting" in clear
    assert ": beyond chance (p = 0.0" in clear
    assert "none is better than the first" in luck or "no more than chance explains" in luck
    assert "2 paired runs are too few to tell this from chance: at least 6 are needed" in lead(0.5, plan_of(tmp_path))


def test_tables_have_every_run_and_every_setting(tmp_path):
    plan = plan_of(tmp_path)
    report = Report(results_of(plan, lambda setting, seed: setting["blend.weight"] * seed))
    rows = report.run_rows()
    assert len(rows) == 12
    assert {name: rows[3][name] for name in ("setting", "blend.weight", "blend.n_echoes", "scene", "seed")} == {
        "setting": 2, "blend.weight": 0.2, "blend.n_echoes": 1, "scene": "a", "seed": 2
    }  # fmt: skip
    assert (rows[3]["objective"], rows[3]["made.cat"], rows[3]["run"]) == (0.4, 0.4, "run-0.4")
    settings = report.setting_rows()
    assert settings[3] == {
        "setting": 4, "blend.weight": 0.8, "blend.n_echoes": 0, "n": 2, "n_scenes": 1, "n_seeds": 2,
        "mean": 1.2, "low": 0.8, "high": 1.6,
        "difference": 0.9, "difference_low": 0.6, "difference_high": 1.2, "p": None,
    }  # fmt: skip
    assert settings[0]["difference"] is None


def test_curves_maps_and_importance_use_the_settings_of_the_search(tmp_path):
    plan = plan_of(tmp_path)
    report = Report(results_of(plan, lambda s, seed: s["blend.weight"] * (1 + s["blend.n_echoes"]) + seed / 1000))
    (line,) = report.curves()["blend.n_echoes"]
    assert [level.x for level in line.levels] == [0, 1, 2]
    assert [one.value for one in line.figures] == pytest.approx([0.5015, 1.0015, 1.5015])
    assert [one.n for one in line.figures] == [2, 2, 2]
    (one,) = report.interactions()
    assert (one.across, one.down) == ("blend.weight", "blend.n_echoes")
    assert np.array(one.means) == pytest.approx(np.array([[0.2015, 0.8015], [0.4015, 1.6015], [0.6015, 2.4015]]))
    assert list(report.importance) == ["blend.weight", "blend.n_echoes"]
    assert sum(f.value for f in report.importance.values()) + report.interaction_share == pytest.approx(1)
    with_baseline = StudyPlan(
        study=plan.study, settings=[{"blend.weight": 0.5, "blend.n_echoes": 0}, *plan.settings], n_added=1,
        seeds=plan.seeds, bundle="mini",
    )  # fmt: skip
    found = Report(results_of(with_baseline, lambda s, seed: s["blend.weight"] * (1 + s["blend.n_echoes"])))
    assert [level.x for level in found.levels["blend.weight"]] == [0.2, 0.8]
    assert found.importance.keys() == report.importance.keys()
    for name, figure in found.importance.items():
        assert figure.value == pytest.approx(report.importance[name].value, abs=1e-6)


def test_non_numeric_parameters_have_one_line_per_value(tmp_path):
    text = SPEC.replace("listening", "manipulate").replace("cat - level.made", "cat")
    text = text[: text.index("sound =")] + 'original = "a.png"\nedited = "b.png"\n'
    text += '[search.parameters]\nsvd.k = "1,5"\nedit.form = ["svd", "fade"]\n'
    study = study_of(tmp_path, text)
    plan = StudyPlan(study=study, settings=study.spec.search.settings(), n_added=0, seeds=(1,), bundle="mini")
    runs = {
        name: run(setting["svd.k"] * (setting["edit.form"] == "svd"), sound="manipulated")
        for setting in plan.settings
        for name in plan.names(setting)
    }
    report = Report(plan.results(plan.settings, runs, n_added=0))
    assert list(report.curves()) == ["svd.k"]
    lines = {line.name: [one.value for one in line.figures] for line in report.curves()["svd.k"]}
    assert lines == {"edit.form=svd": [1, 5], "edit.form=fade": [0, 0]}
    assert report.effects[0].mean.low is None  # one run says nothing about chance


def test_the_page_has_the_same_figures(tmp_path):
    report = Report(results_of(plan_of(tmp_path), lambda s, seed: s["blend.weight"] * (1 + s["blend.n_echoes"]) + seed))
    page = study_page(report, command="svdaudio study s.toml")
    assert (page.title, page.lead, page.command, page.bundle) == ("s", report.lead, "svdaudio study s.toml", "mini")
    table, *charts = page.sections
    assert isinstance(table, Table)
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert [row[0] for row in table.rows] == ["1, the baseline", "2", "3", "4", "5", "6, the best"]
    assert [row[4] for row in table.rows] == [one.mean for one in report.effects]
    assert "with one scene they cover the choice of seeds alone" in table.note
    assert [type(one) for one in charts] == [Curves, Curves, HeatMap, Bars]
    for chart in charts[:2]:
        for curve in chart.curves:
            assert len(curve.x) == len(curve.y) == len(curve.low) == len(curve.high)
    assert charts[2].values == report.interactions()[0].means
    assert charts[3].bars == report.importance
    assert page.facts["runs"] == "12 of 12 with a result"
