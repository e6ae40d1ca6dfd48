"""`svdaudio study` with a method of tiny stages: grids, Optuna, interruptions and errors."""

from __future__ import annotations

import csv
from pathlib import Path

import listening_method
import numpy as np
import pytest
import soundfile
from listening_method import PLACE
from PIL import Image
from pyarrow import parquet

from svdaudio.cli import evaluate, resume
from svdaudio.errors import RunError
from svdaudio.store import RunRecord, open_store

GRID = """
method = "listening"
objective = "level.made - abs(cat - 0.5)"
seeds = [7, 8]

[[cases]]
name = "a"
sound = "bell.wav"
text = "poem.txt"
picture = "one.png"

[search]
kind = "grid"

[search.parameters]
blend.weight = "0.2,0.8"
blend.n_echoes = [0, 1]
"""
SECOND_SCENE = """
[[cases]]
name = "b"
sound = "bell.wav"
text = "other.txt"
picture = "one.png"
"""
OPTUNA = GRID.replace('kind = "grid"', 'kind = "optuna"\nn_trials = 4\nseed = 3').replace('"0.2,0.8"', '"0.2..0.8"')
N_SETTINGS = 5
"""The grid, and the baseline in addition."""
N_SEEDS = 2


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SVDAUDIO_METHODS", PLACE)
    monkeypatch.setenv("SVDAUDIO_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    random = np.random.default_rng(0)
    soundfile.write(tmp_path / "bell.wav", random.uniform(-0.5, 0.5, 2205).astype(np.float32), 22_050)
    (tmp_path / "poem.txt").write_text("rain on the roof")
    (tmp_path / "other.txt").write_text("SNOW ON THE ROAD")
    Image.fromarray(random.integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(tmp_path / "one.png")
    (tmp_path / "grid.toml").write_text(GRID)
    (tmp_path / "optuna.toml").write_text(OPTUNA)
    return tmp_path


def interrupt_after(monkeypatch, n_calls):
    """Make the last stage raise KeyboardInterrupt after some calls; returns the growing list of calls."""
    calls = []
    judge = listening_method.judge

    def counted(**arguments):
        if len(calls) == n_calls:
            raise KeyboardInterrupt
        calls.append(arguments)
        return judge(**arguments)

    monkeypatch.setattr(listening_method, "judge", counted)
    return calls


def read(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_grid_from_the_forecast_to_the_page(folder, cli):
    (folder / "grid.toml").write_text(GRID + SECOND_SCENE)
    n_runs = N_SETTINGS * 2 * N_SEEDS
    planned = cli("study", "grid.toml", "--dry-run", "--json").json()
    assert (planned["settings"], planned["runs"], planned["cached"]) == (5, n_runs, 0)
    assert planned["left"]["blend"] == 3 * 2 * 2  # weights, scenes, seeds; echoes are added downstream
    assert not (folder / "store" / "out").exists()
    result = cli("study", "grid.toml", "--out", "found", "--json")
    assert result.code == 0, result.err
    found = result.json()
    assert found["counts"] == {"settings": 5, "scenes": 2, "seeds": 2, "runs": n_runs, "missing": 0}
    first, *others = found["settings"]
    assert (first["blend.weight"], first["blend.n_echoes"]) == (0.5, 0)
    assert first["difference"] is None
    assert [(one["blend.weight"], one["blend.n_echoes"]) for one in others] == [(0.2, 0), (0.2, 1), (0.8, 0), (0.8, 1)]
    assert found["best"] == max(found["settings"], key=lambda one: one["mean"])
    assert 0 < sum(found["importance"].values()) <= 1.000001

    rows = read(folder / "found" / "study.csv")
    assert len(rows) == n_runs
    for row in rows:
        expected = float(row["level.made"]) - abs(float(row["made.cat"]) - 0.5)
        assert float(row["objective"]) == pytest.approx(expected, abs=1e-5)
    for setting in found["settings"]:
        values = [float(row["objective"]) for row in rows if row["setting"] == str(setting["setting"])]
        assert setting["mean"] == pytest.approx(np.mean(values), abs=1e-5)
        assert setting["low"] <= setting["mean"] <= setting["high"]
    stored = parquet.read_table(folder / "found" / "study.parquet").to_pylist()
    assert [row["run"] for row in stored] == [row["run"] for row in rows]
    assert stored[0]["blend.weight"] == 0.5
    assert set(found["files"].values()) >= {
        str(folder / "found" / name)
        for name in ("study.csv", "study.parquet", "settings.csv", "curves.png", "interactions.png", "importance.png",
                     "study.html")
    }  # fmt: skip
    assert all(Path(path).is_file() for path in found["files"].values())
    again = cli("study", "grid.toml", "--dry-run", "--json").json()
    assert (again["cached"], again["left"], again["seconds"]) == (again["computations"], {}, 0)


@pytest.mark.parametrize("goes_on", [["resume"], ["study", "grid.toml", "--out", "found"]])
def test_an_interrupted_grid_is_resumed(folder, cli, monkeypatch, goes_on):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 5)
        result = cli("study", "grid.toml", "--out", "found")
        assert result.code == 130
        assert "svdaudio resume" in result.err
    assert not (folder / "found" / "study.csv").exists()
    calls = interrupt_after(monkeypatch, None)
    result = cli(*goes_on, "--json")
    assert result.code == 0, result.err
    assert result.json()["counts"]["missing"] == 0
    assert len(calls) == N_SETTINGS * N_SEEDS - 5
    assert len(read(folder / "found" / "study.csv")) == N_SETTINGS * N_SEEDS
    assert (
        len([run for run in open_store(str(folder / "store")).runs if run.kind == "listening"]) == N_SETTINGS * N_SEEDS
    )


def test_a_study_of_an_unknown_kind_is_not_resumed(folder):
    record = RunRecord(id="20300101-batch", kind="batch", created_at="2030", files={}, config={})
    with pytest.raises(
        RunError, match=r"was started by another version.*edits or parameters or ablation or .*, got later"
    ):
        resume._finish_for({"kind": "later"}, record)
    assert resume._finish_for({"folder": "of a record without a kind"}, record) is evaluate.finish


def test_an_interrupted_search_repeats_the_same_trials_and_counts_none_twice(folder, cli, monkeypatch):
    whole = cli("study", "optuna.toml", "--store", "another", "--out", "whole", "--json").json()
    assert len(whole["settings"]) == 4
    assert (whole["settings"][0]["blend.weight"], whole["settings"][0]["blend.n_echoes"]) == (0.5, 0)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)  # in the second trial
        assert cli("study", "optuna.toml", "--out", "found").code == 130
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)  # in the third
        assert cli("resume").code == 130
    result = cli("study", "optuna.toml", "--out", "found", "--json")
    assert result.code == 0, result.err
    assert result.json()["settings"] == whole["settings"]
    calls = interrupt_after(monkeypatch, None)
    again = cli("study", "optuna.toml", "--out", "found", "--json").json()
    assert (again["settings"], again["batches"], calls) == (whole["settings"], [], [])
    more = OPTUNA.replace("n_trials = 4", "n_trials = 5")
    (folder / "optuna.toml").write_text(more)
    extended = cli("study", "optuna.toml", "--out", "found", "--json").json()
    assert (extended["settings"][:4], len(extended["settings"]), len(extended["batches"])) == (whole["settings"], 5, 1)


def test_a_failed_run_is_missing_and_the_rest_is_reported(folder, cli, monkeypatch):
    blend = listening_method.blend

    def fails(*, weight, seed, note, **arguments):
        if weight == 0.2 and seed == 8:
            raise ValueError("no such blend")
        return blend(weight=weight, seed=seed, note=note, **arguments)

    monkeypatch.setattr(listening_method, "blend", fails)
    result = cli("study", "grid.toml", "--json")
    assert result.code == 1
    assert "2 of 10 runs have no result" in result.err
    found = result.json()
    assert [one["n"] for one in found["settings"]] == [2, 1, 1, 2, 2]
    (row, *_) = [row for row in read(found["files"]["every run"]) if not row["objective"]]
    assert (row["state"], row["error"]) == ("failed", "ValueError: no such blend")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("objective =", "objektive =", "unknown key 'objektive'. Perhaps you mean 'objective'"),
        ("level.made - abs(cat", "abs(kat", "unknown score 'kat' in the objective. Perhaps you mean cat"),
        ("level.made - abs(cat", "abs(delta_cat", "unknown score 'delta_cat' in the objective"),
        ("blend.weight =", "blend.wait =", "unknown parameter 'blend.wait' (from grid.toml [search])"),
        ('"0.2,0.8"', '"0.2,8"', "blend.weight has an invalid value (from grid.toml [search])"),
        ('"0.2,0.8"', '"0.2..0.8"', "has no steps"),
        ("bell.wav", "gong.wav", "file not found:"),
        ("seeds = [7, 8]", "seeds = [7, 7]", "'seeds' has an invalid value"),
    ],
)
def test_an_invalid_study_is_a_one_line_error(folder, cli, before, after, message):
    (folder / "grid.toml").write_text(GRID.replace(before, after, 1))
    result = cli("study", "grid.toml", "--out", "found")
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.splitlines()[-1].startswith("error: ")
    assert not (folder / "found").exists()
    assert not (folder / "store").exists()
