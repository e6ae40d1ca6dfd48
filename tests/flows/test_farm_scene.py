"""The demo end to end: the farm scene with the mini bundle, through the installed command."""

from __future__ import annotations

import json
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from farm_scene import SCENE
from PIL import Image
from pinned import golden
from quick_pictures import skip_rendering

from svdaudio.store import open_store


def svdaudio(*arguments, store):
    result = subprocess.run(
        [sys.executable, "-m", "svdaudio.cli", *arguments, "--store", str(store), "--json"],
        capture_output=True, text=True, check=False, cwd=store.parent,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("farm") / "artifacts"


@pytest.fixture(scope="module")
def demo(store):
    return svdaudio("demo", store=store)


def statuses(result):
    return {stage["stage"]: stage["status"] for stage in result["stages"]}


@pytest.mark.parametrize("sound", ["original", "edited", "manipulated"])
def test_the_demo_generates_ten_audible_seconds_without_clipping(demo, sound):
    with wave.open(demo["audio"][sound]) as file:
        assert (file.getframerate(), file.getnframes(), file.getnchannels()) == (22_050, 220_500, 1)
        samples = np.frombuffer(file.readframes(220_500), np.int16) / 32_768
    assert 0.01 < float(np.sqrt(np.mean(samples**2))) < 0.5
    assert float(np.abs(samples).max()) < 0.999


def test_the_report_of_the_demo_is_small_enough_to_send(demo, store):
    page = Path(svdaudio("report", demo["run"], store=store)["report"])
    assert 1_000_000 < page.stat().st_size < 3_000_000
    assert "duck heard (0.00 → 1.00)" in page.read_text(encoding="utf-8")


def test_the_edit_is_audible(demo):
    before, after = demo["scores"]["original"], demo["scores"]["manipulated"]
    assert after["duck"] - before["duck"] >= 0.3
    assert before["cat"] - after["cat"] >= 0.3
    assert abs(after["dog"] - before["dog"]) <= 0.25
    assert demo["bundle"] == "mini"
    [reach] = demo["notes"]
    assert reach.startswith("reach: svd.alpha = 0.3 turns the embedding of the removed region by 0.1")
    assert "--form fade to act" in reach
    assert [finding["text"].partition(" (")[0] for finding in demo["verdict"]] == ["duck heard", "cat gone", "dog kept"]
    assert all(finding["ok"] for finding in demo["verdict"])


def test_the_scores_match_the_golden_file(demo):
    kept = golden("demo")
    assert demo["bundle"] == kept["bundle"]
    assert set(demo["scores"]) == set(kept["scores"])
    for sound, scores in kept["scores"].items():
        assert demo["scores"][sound] == pytest.approx(scores, abs=0.02)  # CPUs round differently


@pytest.mark.parametrize(("node", "picture"), [("removed.mask", "dog_cat.cat"), ("added.mask", "dog_duck.duck")])
def test_a_click_segments_the_animal(demo, store, node, picture):
    artifacts = open_store(store)
    entry = artifacts.runs.load(demo["run"]).stage(node)
    mask = artifacts.load(entry.key)["mask"]
    true = np.asarray(Image.open(SCENE.original.with_name(f"{picture}.mask.png")).convert("L")) > 127
    assert (mask & true).sum() / (mask | true).sum() >= 0.8


def test_the_detector_finds_the_animals_and_no_others(demo, store):
    from svdaudio.checkpoints.bundle import Bundle

    artifacts, names = open_store(store), Bundle.open("mini").classes("detector")
    for picture, expected in (("original", {"dog", "cat"}), ("edited", {"dog", "duck"})):
        entry = artifacts.runs.load(demo["run"]).stage(f"{picture}.locals")
        assert {names[i] for i in artifacts.load(entry.key)["classes"]} == expected


def test_a_repeated_run_is_cached_and_gives_the_same_bytes(demo, store):
    sounds = {name: Path(path).read_bytes() for name, path in demo["audio"].items()}
    again = svdaudio("demo", store=store)
    assert set(statuses(again).values()) == {"cached"}
    assert {name: Path(path).read_bytes() for name, path in again["audio"].items()} == sounds
    assert again["scores"] == demo["scores"]


def test_a_new_alpha_runs_the_downstream_stages_as_planned(demo, store, cli, monkeypatch):
    skip_rendering(monkeypatch)
    change = [*SCENE.arguments, "--set", "svd.alpha=0.2", "--store", store, "--json"]
    planned = {stage["stage"]: stage for stage in cli("plan", *change).json()["stages"]}
    assert planned["mix"]["status"] == "run"
    assert "svd.alpha" in planned["mix"]["reason"]
    assert "0.3" in planned["mix"]["reason"]
    below = {
        "mix",
        "removed.reach",
        *(f"manipulated.{s}" for s in ("remix", "diffuse", "decode", "vocode", "choose", "finish", "scores")),
    }
    assert {name for name, stage in planned.items() if stage["status"] != "cached"} == below
    ran = statuses(cli("run", *change).json())
    assert {name for name, status in ran.items() if status == "computed"} == below


def test_a_threshold_that_leaves_the_grid_unchanged_runs_nothing_after_alignment(demo, store, cli, monkeypatch):
    skip_rendering(monkeypatch)
    artifacts = open_store(store)
    run = artifacts.runs.load(demo["run"])
    coverage = np.concatenate([artifacts.load(run.stage(f"{r}.align").key)["coverage"] for r in ("removed", "added")])
    higher = float(coverage[coverage >= 0.5].min())  # up to this threshold every patch inside stays inside
    threshold = (0.5 + higher) / 2
    assert threshold > 0.5
    change = [*SCENE.arguments, "--set", f"align.threshold={threshold}", "--store", store, "--json"]
    ran = statuses(cli("run", *change).json())
    assert {name for name, status in ran.items() if status == "computed"} == {"removed.align", "added.align"}
