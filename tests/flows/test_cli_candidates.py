"""Listing and picking candidates of a run on the command line, with toy models."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import toy_method
from toy_method import PAIR

SOUNDS = ["original", "edited", "manipulated"]


@pytest.fixture
def done(monkeypatch, tmp_path, finished_run):
    """A folder in which the pair was run once."""
    folder, result = finished_run
    toy_method.install(monkeypatch, tmp_path)
    shutil.copytree(folder / "store", tmp_path / "store")
    return result


def statuses(result):
    return {stage["stage"]: stage["status"] for stage in result["stages"]}


def bytes_of(result):
    return {name: Path(path).read_bytes() for name, path in result["audio"].items()}


def test_every_candidate_is_listed_scored_and_written(done, cli, tmp_path):
    n_runs = len(cli("runs", "--json").json()["runs"])
    result = cli("candidates", "latest", "--out", "them", "--json")
    assert result.code == 0, result.err
    rows = result.json()["candidates"]
    assert [(row["sound"], row["candidate"]) for row in rows] == [(s, n) for s in SOUNDS for n in (1, 2, 3)]
    assert [row["similarity"] for row in rows] == [1.0, 0.5, 0.0] * 3
    assert [row["candidate"] for row in rows if row["kept"]] == [1, 1, 1]
    assert {row["sound"]: row["scores"] for row in rows if row["kept"]} == done["scores"]
    assert len({Path(row["file"]).read_bytes() for row in rows if row["sound"] == "edited"}) == 3
    for sound, data in bytes_of(done).items():
        assert (tmp_path / "them" / f"{sound}.1.wav").read_bytes() == data
    assert len(cli("runs", "--json").json()["runs"]) == n_runs, "listing candidates records no run"
    text = cli("candidates", "latest").out
    assert "kept" in text
    assert f"svdaudio pick {done['run']} NUMBER" in text


def test_a_pick_is_a_new_run_that_computes_only_downstream_stages(done, cli):
    result = cli("pick", done["run"], "2", "--json", "--out", "second.wav")
    assert result.code == 0, result.err
    picked = result.json()
    computed = {name for name, status in statuses(picked).items() if status == "computed"}
    assert computed == {f"{sound}.{stage}" for sound in SOUNDS for stage in ("pick", "finish", "scores")}
    assert picked["run"] != done["run"]
    assert bytes_of(picked)["manipulated"] == Path("second.wav").read_bytes() != bytes_of(done)["manipulated"]
    config = cli("show", "latest", "--json").json()["config"]
    assert config["generate.pick"] == {"value": 2, "from": "command line"}
    assert config["remove"]["from"] == "command line", "other settings are those of the run"
    rows = cli("candidates", "latest", "--json").json()["candidates"]
    assert [row["candidate"] for row in rows if row["kept"]] == [2, 2, 2]
    again = cli("run", *PAIR, "--pick", "2", "--json").json()
    assert set(statuses(again).values()) == {"cached"}
    assert bytes_of(again)["edited"] == bytes_of(picked)["edited"]
    best = cli("pick", "latest", "1", "--json").json()
    assert bytes_of(best) == bytes_of(done), "the original run kept the best candidate"


def test_a_pick_makes_the_sounds_of_its_run(monkeypatch, tmp_path, cli):
    toy_method.install(monkeypatch, tmp_path)
    assert cli("run", *PAIR, "--no-baselines", "--set", "finish.form=none").code == 0
    picked = cli("pick", "latest", "3", "--json").json()
    assert list(picked["audio"]) == ["manipulated"]
    assert "manipulated.finish" not in statuses(picked)
    assert [row["sound"] for row in cli("candidates", "latest", "--json").json()["candidates"]] == ["manipulated"] * 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["pick", "latest", "4"],
            "candidate 4 does not exist: expected a number from 1 to 3, got 4. Pick another, or use",
        ),
        (["pick", "latest", "0"], "Invalid value for 'NUMBER': Input should be greater than or equal to 1"),
        (["run", *PAIR, "--pick", "7"], "candidate 7 does not exist"),
        (["run", *PAIR, "--set", "generate.pick=worst"], 'expected "best", or the number of a candidate, from 1'),
        (["candidates", "latest", "--out", "one.png"], "one.png cannot be written to: expected a folder, got a file"),
        (["candidates", "nothing"], "run 'nothing' does not exist"),
    ],
)
def test_invalid_arguments_are_a_one_line_error(done, cli, words, message):
    result = cli(*words)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert message in result.err


def test_a_method_without_candidates_is_named(monkeypatch, tmp_path, cli, done):
    from dataclasses import replace

    from svdaudio.session import Session

    store = Session(tmp_path / "store").store
    run = store.runs.load("latest")
    store.runs.write(replace(run, id="20990101-000000-000-0000", kind="mask", config={}, targets=("object.mask",)))
    result = cli("candidates", "2099")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "run 20990101-000000-000-0000 has no candidates: got a run of mask" in result.err
