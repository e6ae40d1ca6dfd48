"""`svdaudio evaluate` of runs, files and tables: the mini bundle's judges, on a toy run and on noise."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import soundfile
from toy_method import PAIR, install

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.cli import main
from svdaudio.cli import sessions as cli_sessions

SOUNDS = ("original", "edited", "manipulated")


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """The current folder, with its own store."""
    monkeypatch.setenv("SVDAUDIO_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def noise(path, seed, *, channels=1, level=0.1, seconds=1.5):
    """Write coloured noise that depends on the seed."""
    rng = np.random.default_rng(seed)
    spectrum = rng.normal(size=(round(16_000 * seconds), channels)).cumsum(axis=0)
    samples = level * (spectrum - spectrum.mean(axis=0)) / np.abs(spectrum).max()
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    return path


def test_the_judges_score_a_run(cli, monkeypatch, tmp_path):
    install(monkeypatch, tmp_path)
    assert main(["run", *PAIR]) == 0
    monkeypatch.setattr(cli_sessions, "open_bundle", Bundle.open)
    result = cli("evaluate", "latest", "--label", "cat", "--table", "scores.csv", "--json")
    assert result.code == 0, result.err
    found = result.json()
    assert list(found) == [
        "bundle", "sounds", "judges", "verdict", "closer", "summary", "sets", "warnings", "files",
    ]  # fmt: skip
    (run,) = found["closer"]
    assert list(found["sounds"]) == [f"{run}/{name}" for name in SOUNDS]
    assert list(found["judges"]) == ["tagger"]
    assert found["judges"]["tagger"]["scores"][f"{run}/edited"].keys() == {"cat"}
    assert {one["wanted"] for one in found["verdict"]["tagger"][run]} >= {"added", "removed"}
    assert [near["space"] for near in found["closer"][run]] == ["CLAP(mini)", "tagger(mini), embedding of 128"]
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["sound"], row["class"]) for row in rows] == [(name, "cat") for name in SOUNDS]
    shown = cli("evaluate", run)
    assert "tagger(mini), 9 classes" in shown.out
    assert "in CLAP(mini): cosine " in shown.out


def test_a_batch_is_evaluated_as_its_runs(cli, monkeypatch, tmp_path):
    install(monkeypatch, tmp_path)
    lines = ['one.png,two.png,"20,20","40,30",a', 'two.png,one.png,"20,20","40,30",b']
    (tmp_path / "pairs.csv").write_text("\n".join(["original,edited,remove,add,name", *lines]) + "\n")
    assert main(["batch", "pairs.csv"]) == 0
    monkeypatch.setattr(cli_sessions, "open_bundle", Bundle.open)
    batch = cli("evaluate", "latest", "--json").json()
    assert (len(batch["closer"]), len(batch["sounds"])) == (2, 6)
    assert [one["n"] for one in batch["summary"] if one["name"].startswith("closer")] == [2, 2]


def test_files_and_folders_need_no_subcommand(cli, folder):
    noise(folder / "a.wav", 1, channels=2)
    noise(folder / "sounds" / "b.flac.wav", 2, level=0.0)
    short = cli("evaluate", "a.wav", "sounds", "--label", "dog")
    assert short.code == 0, short.err
    assert short.out == cli("evaluate", "sounds", "a.wav", "sounds", "--label", "dog").out
    assert "dog" in short.out
    assert short.err.count("note: ") == 2
    assert "note: a.wav is not mono: the mean of the channels is judged" in short.err
    assert not (folder / "store").exists()


def test_a_table_is_compared_with_a_reference(cli, folder):
    for seed in range(12):
        noise(folder / "made" / f"{seed}.wav", seed)
        noise(folder / "reference" / f"{seed}.wav", 100 + seed)
    lines = [f"made/{seed}.wav,dog,dog" for seed in range(12)]
    (folder / "pairs.csv").write_text("\n".join(["manipulated,added,text", *lines]) + "\n")
    result = cli("evaluate", "--pairs", "pairs.csv", "--reference", "reference", "--json")
    assert result.code == 0, result.err
    figures = {one["name"]: one for one in result.json()["sets"]}
    assert figures["FD-tagger(mini)"]["value"] is None
    assert figures["FD-tagger(mini)"]["why"].startswith("12 clips are too few for a covariance of 128 dimensions")
    kad = figures["KAD-tagger(mini)"]
    assert kad["low"] <= kad["value"] <= kad["high"]
    assert figures["KL-tagger(mini) (softmax)"]["n"] == 12
    assert -1 <= figures["CLAP score (CLAP(mini), text-sound)"]["value"] <= 1
    shown = cli("evaluate", "--pairs", "pairs.csv", "--reference", "reference").out
    assert "KAD-tagger(mini) ↓" in shown
    assert "IS-tagger(mini) ↑" in shown


def test_help_lists_every_subcommand(cli, folder):
    shown = cli("evaluate", "--help").out
    assert all(f"  {name}" in shown for name in ("sounds", "edits", "faders", "domain"))
    assert "--pairs" in cli("evaluate", "sounds", "--help").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("edit",), "'edit' is not a sound file, a folder or a run"),
        (("--json",), "nothing to evaluate"),
        (("a.wav", "--label", "dg"), "no judge knows the class 'dg': expected dog"),
        (("a.wav", "--reference", "a.wav"), "the reference a.wav is not a folder"),
        (("a.wav", "--reference", "empty"), "no sounds in empty"),
        (("a.wav", "--table", "x.txt"), "is not a valid table file"),
        (("notes.wav",), "notes.wav is not a readable audio file"),
        (("a.wav", "--bundle", "none"), "unknown bundle 'none'"),
    ],
)
def test_invalid_arguments_are_a_one_line_error(cli, folder, words, message):
    noise(folder / "a.wav", 1)
    (folder / "notes.wav").write_text("no sound")
    (folder / "empty").mkdir()
    result = cli("evaluate", *words)
    assert result.code in (2, 3)
    assert result.out == ""
    assert result.err.count("\n") == 1
    assert message in result.err
