"""`svdaudio batch` on toy models."""

from __future__ import annotations

import csv
import sys
import wave
from types import SimpleNamespace

import numpy as np
import pytest
from toy_method import CLASSES, diffuse, install, mask

from svdaudio.engine.batch import execute_batch
from svdaudio.errors import InputError
from svdaudio.methods.stages import MIX

PAIRS = """original,edited,remove,add,name,out,svd.alpha
one.png,two.png,"20,20","40,30",a,sounds/a.wav,
one.png,two.png,"20,20","40,30",b,,0.2
one.png,two.png,"20,20","40,30",c,,0.4
"""


BATCH = ["batch", "pairs.csv", "--no-baselines"]


@pytest.fixture
def world(monkeypatch, tmp_path):
    install(monkeypatch, tmp_path)
    (tmp_path / "pairs.csv").write_text(PAIRS)
    return tmp_path


def test_a_batch_writes_a_table_sounds_and_runs(world, cli):
    result = cli("batch", "pairs.csv", "--table", "table.csv", "--json")
    assert result.code == 0
    output = result.json()
    assert (output["state"], output["counts"], output["bundle"]) == ("finished", {"finished": 3}, "mini")
    assert [row["name"] for row in output["pairs"]] == ["a", "b", "c"]
    with (world / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["svd.alpha"] for row in rows] == ["", "0.2", "0.4"]
    assert {f"manipulated.{name}" for name in CLASSES} < set(rows[0])
    with wave.open(str(world / "sounds" / "a.wav")) as file:
        assert file.getframerate() == 22_050
    assert "note: generate.steps" not in result.err
    # a single run has the same bytes
    alone = cli("run", "one.png", "two.png", "--remove", "20,20", "--add", "40,30", "--set", "svd.alpha=0.2", "--json")
    assert {stage["status"] for stage in alone.json()["stages"]} == {"cached"}
    assert alone.json()["scores"]["manipulated"] == {n: output["pairs"][1][f"manipulated.{n}"] for n in CLASSES}


def test_text_output_lists_the_results(world, cli):
    result = cli("batch", "pairs.csv")
    assert "unlike" not in result.out  # the pairs have notes, but only on the reach of the factors
    for text in ("3 finished", "scores of the sound 'manipulated'", "svd.alpha", "Table with every score"):
        assert text in result.out
    assert "[111/111]" in result.err
    runs = cli("runs", "--json").json()["runs"]
    assert [run["kind"] for run in runs] == ["batch", *["manipulate"] * 3]


@pytest.mark.parametrize("again", [BATCH, ["resume"]])
def test_an_interrupted_batch_is_resumed(world, cli, monkeypatch, again):
    monkeypatch.setitem(sys.modules, "svdaudio.tasks.synthesis.diffuse", SimpleNamespace(run=interrupted))
    first = cli(*BATCH)
    assert first.code == 130
    assert "continues it" in first.err
    monkeypatch.setitem(sys.modules, "svdaudio.tasks.synthesis.diffuse", SimpleNamespace(run=diffuse))
    second = cli(*again, "--json")
    assert second.code == 0
    assert "continuing" in second.err
    result = second.json()
    assert result["batch"] in first.err
    assert result["counts"] == {"finished": 3}
    third = cli(*BATCH, "--json").json()
    assert third["batch"] != result["batch"]


def interrupted(*jobs, **arguments):
    raise KeyboardInterrupt


def test_show_lists_the_outcome_of_every_pair_of_a_batch(world, cli, monkeypatch):
    def none_for_b(*, alpha, note, **arguments):
        if alpha == 0.2:
            raise InputError("the mix is [empty]", fix=f"give {'more ' * 40}")
        return mix(alpha=alpha, note=note, **arguments)

    mix = MIX.load_body()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "svdaudio.tasks.edit.mix", SimpleNamespace(run=none_for_b))
        assert cli(*BATCH, "--table", "t.csv").code == 1
    batch, *runs = cli("runs", "--json").json()["runs"]
    result = cli("show", "latest", "--json").json()
    assert (result["title"], result["counts"]) == ("pairs.csv", {"finished": 2, "failed": 1})
    assert result["table"] == str(world / "t.csv")
    assert [(pair["name"], pair["state"]) for pair in result["pairs"]] == [
        ("a", "finished"), ("b", "failed"), ("c", "finished")
    ]  # fmt: skip
    assert {pair["run"] for pair in result["pairs"]} == {run["run"] for run in runs}
    shown = cli("show", batch["run"])
    assert shown.code == 0
    assert "Pairs: 2 finished, 1 failed\n" in shown.out
    (line,) = [line for line in shown.out.splitlines() if result["pairs"][1]["run"] in line]
    assert line.split()[:3] == ["b", result["pairs"][1]["run"], "failed"]
    assert line.endswith(result["pairs"][1]["error"])
    assert "the mix is [empty]" in line
    assert f"Table with every score and file: {world / 't.csv'}\n" in shown.out
    assert f"`svdaudio resume {batch['run']}` continues it." in shown.out
    assert "Configuration that all pairs share" in shown.out
    assert "svd.alpha" not in shown.out
    # a missing record is reported until the batch is resumed
    (world / "store" / "runs" / f"{result['pairs'][0]['run']}.json").unlink()
    assert cli("show", batch["run"], "--json").json()["pairs"][0]["state"] == "lost"
    assert cli("resume").code == 0
    shown = cli("show", "latest").out
    assert "Pairs: 3 finished\n" in shown
    assert "continues it" not in shown


@pytest.mark.parametrize("again", [BATCH, ["resume"]])
def test_a_batch_resumes_when_the_record_of_a_run_is_lost(world, cli, again, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "svdaudio.tasks.synthesis.diffuse", SimpleNamespace(run=interrupted))
        assert cli(*BATCH).code == 130
    batch, *runs = cli("runs", "--json").json()["runs"]
    (world / "store" / "runs" / f"{runs[1]['run']}.json").unlink()
    second = cli(*again, "--json")
    assert second.code == 0, second.err
    result = second.json()
    assert (result["batch"], result["counts"]) == (batch["run"], {"finished": 3})
    assert [row["svd.alpha"] for row in result["pairs"]] == [None, 0.2, 0.4]
    assert cli("runs", "--json").json()["runs"][0]["run"] == batch["run"]


def test_resume_keeps_the_options_of_the_batch(world, cli, monkeypatch):
    asked = ["--table", "t.csv", "--pictures", "--on-error", "stop", "--workers", "2"]
    with monkeypatch.context() as patch:
        patch.setattr("svdaudio.engine.workers.execute_shares", interrupted)
        assert cli(*BATCH, *asked).code == 130
    used = {}

    def here(work, progress, *, n_workers, execute):
        used.update(n_workers=n_workers, on_error=work.on_error)
        return execute_batch(work, progress)

    monkeypatch.setattr("svdaudio.engine.workers.execute_shares", here)
    monkeypatch.chdir(world / "store")  # relative paths refer to the folder of the original command
    resumed = cli("resume", "--json", "--store", world / "store")
    assert resumed.code == 0, resumed.err
    result = resumed.json()
    assert result["table"] == str(world / "t.csv")
    assert (world / "t.csv").read_text().count("\n") == 4
    assert used == {"n_workers": 2, "on_error": "stop"}
    assert "overview" in cli("show", result["pairs"][0]["run"], "--json").json()["results"]["pictures"]


def test_a_failed_pair_is_reported_and_the_exit_code_is_1(world, cli, monkeypatch):
    def empty_in_the_corner(*, points, **arguments):
        found = mask(points=points, **arguments)
        return found if points[0][0] else {**found, "mask": np.zeros_like(found["mask"])}

    monkeypatch.setitem(sys.modules, "svdaudio.tasks.picture.mask", SimpleNamespace(run=empty_in_the_corner))
    (world / "pairs.csv").write_text(PAIRS.replace('"20,20","40,30",b', '"20,20","0,0",b'))
    result = cli(*BATCH, "--json")
    assert result.code == 1
    output = result.json()
    assert output["counts"] == {"finished": 2, "failed": 1}
    assert "the mask covers no patch" in output["pairs"][1]["error"]
    assert "failed: b: added.align: the mask covers no patch" in result.err
    stopped = cli(*BATCH, "--json", "--set", "svd.beta=2", "--on-error", "stop")
    assert (stopped.code, stopped.json()["counts"]) == (1, {"interrupted": 2, "failed": 1})


def test_no_pair_runs_if_one_line_is_invalid(world, cli):
    (world / "pairs.csv").write_text(PAIRS + 'one.png,none.png,"20,20","40,30",d,,\n')
    result = cli(*BATCH)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: pairs.csv, line 5: file not found:")
    assert not (world / "store").exists()


@pytest.mark.parametrize("arguments", [["none.csv"], ["pairs.csv", "--table", "t.xlsx"], ["pairs.csv", "--set", "x=1"]])
def test_invalid_arguments_are_a_one_line_error(world, cli, arguments):
    result = cli("batch", *arguments)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert not (world / "store").exists()


def test_resume_of_a_batch_refuses_out(world, cli):
    cli(*BATCH)
    assert "--out does not apply" in cli("resume", "latest", "--out", "x.wav").err
