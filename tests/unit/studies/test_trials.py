"""Trials of Optuna: each is requested and counted once, whatever process was killed in between."""

from __future__ import annotations

import builtins

import optuna
import pytest

from svdaudio.errors import ConfigError, StoreError
from svdaudio.studies import trials
from svdaudio.studies.study_spec import Search
from svdaudio.studies.sweep import ParameterRange
from svdaudio.studies.trials import TrialBook, check_installed, covers

RANGES = (
    ParameterRange(name="svd.k", values=(1, 3, 5), interval=(1, 5)),
    ParameterRange(name="mix.alpha", values=(0.1, 0.2, 0.3, 0.4), interval=(0.1, 0.4)),
    ParameterRange(name="edit.form", values=("svd", "fade")),
    ParameterRange(name="weight", interval=(0.0, 1.0)),
)
FIRST = {"svd.k": 5, "mix.alpha": 0.1, "edit.form": "svd", "weight": 0.25}


def book(path, *, n=14, first=None, name="a", seed=0):
    search = Search(kind="optuna", ranges=RANGES, n=n, seed=seed)
    return TrialBook(path / "trials.journal", search, name=name, maximizes=True, first=first)


def value(setting):
    return -abs(setting["svd.k"] - 3) + setting["weight"]


def run(opened, n_until=None):
    settings = []
    while (trial := opened.next()) is not None:
        if len(settings) == n_until:
            return settings  # requested, but never given a value
        settings.append(trial.setting)
        opened.tell(trial, value(trial.setting), {f"run {trial.number}": "id"})
    return settings


def test_trials_are_within_their_ranges_and_the_first_is_given(tmp_path):
    settings = run(book(tmp_path, first=FIRST))
    assert len(settings) == 14
    assert settings[0] == FIRST
    for setting in settings:
        assert list(setting) == list(FIRST)
        assert all(covers(one, setting[one.name]) for one in RANGES)
    assert run(book(tmp_path / "b", first=FIRST, seed=1)) != settings


def test_an_interrupted_study_repeats_its_trials_and_counts_none_twice(tmp_path):
    whole = run(book(tmp_path / "whole", first=FIRST))
    parts = run(book(tmp_path, first=FIRST), 4)
    parts += run(book(tmp_path, first=FIRST), 8)
    parts += run(book(tmp_path, first=FIRST))
    assert parts == whole
    again = book(tmp_path, first=FIRST)
    assert again.next() is None
    assert [one.setting for one in again.told] == whole
    assert again.told[3].runs == {"run 3": "id"}
    assert len(run(book(tmp_path, n=16, first=FIRST))) == 2  # two more were requested


def test_a_trial_killed_while_it_was_requested_does_not_count(tmp_path):
    opened = book(tmp_path, n=3)
    opened._study.ask()  # without any parameter yet
    assert len(run(opened)) == 3
    assert len(opened.told) == 3


def test_leftovers_of_a_killed_process_do_not_block_others(tmp_path):
    run(book(tmp_path, n=2))
    journal = tmp_path / "trials.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"wor')  # killed while it wrote
    (tmp_path / "trials.journal.lock").touch()  # and held the lock
    assert len(run(book(tmp_path, n=3))) == 1
    assert journal.read_bytes().startswith(whole + b'{"op_code":')
    assert [path.name for path in tmp_path.iterdir()] == ["trials.journal"]


def test_a_trial_without_a_value_counts_and_is_not_repeated(tmp_path):
    opened = book(tmp_path, n=2)
    opened.tell(opened.next(), None, {})
    assert len(run(opened)) == 1
    assert [one.runs for one in opened.told] == [{}, {"run 1": "id"}]


def test_studies_with_different_specifications_are_separate(tmp_path):
    run(book(tmp_path, n=2))
    assert len(run(book(tmp_path, n=3, name="b"))) == 3


def test_importance_names_the_parameter_that_matters(tmp_path):
    pytest.importorskip("sklearn")
    opened = book(tmp_path, n=15)
    run(opened)
    evaluator, found = opened.importance()
    assert evaluator == "fANOVA"
    assert max(found, key=found.__getitem__) == "svd.k"
    assert sum(found.values()) == pytest.approx(1)
    assert book(tmp_path / "none").importance() == ("fANOVA", {})


def test_importance_without_a_forest_is_labelled_as_such(tmp_path, monkeypatch):
    monkeypatch.setattr(trials, "find_spec", lambda name: None)
    opened = book(tmp_path, n=15)
    run(opened)
    evaluator, found = opened.importance()
    assert evaluator == "PED-ANOVA"
    assert set(found) == set(FIRST)
    assert sum(found.values()) == pytest.approx(1)


def test_runs_can_be_recorded_outside_of_trials(tmp_path):
    assert book(tmp_path).kept("baseline") == {}
    book(tmp_path).keep("baseline", {"a": "id"})
    assert book(tmp_path).kept("baseline") == {"a": "id"}


def test_the_log_level_of_optuna_is_restored(tmp_path):
    before = optuna.logging.get_verbosity()
    run(book(tmp_path, n=1))
    assert optuna.logging.get_verbosity() == before


def test_an_invalid_journal_is_reported_in_one_line(tmp_path):
    (tmp_path / "trials.journal").write_text("{}\nnot a journal\n")
    with pytest.raises(StoreError, match=r"the trials in .* cannot be read or written"):
        book(tmp_path)


def test_without_optuna_one_line_says_how_to_install_it(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **more):
        if name.partition(".")[0] == "optuna":
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        ConfigError, match=r"needs the package optuna\. Install it with `pip install 'svdaudio\[optuna\]'`"
    ):
        check_installed()
