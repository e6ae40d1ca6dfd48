"""Photographs with the mini bundle, trained on the farm only: runs, records and batches note the mismatch."""

from __future__ import annotations

import csv
import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import ultralytics
from farm_scene import FEW_STEPS, FEW_STEPS_ARGUMENTS, PICTURES, SCENE

from svdaudio import main_pipeline
from svdaudio.checkpoints.description import MANIFEST
from svdaudio.mini import domain_evaluation
from svdaudio.places import project_root

PHOTOGRAPH = Path(ultralytics.__file__).parent / "assets" / "bus.jpg"
UNLIKE = "the original picture bus.jpg is unlike the pictures that the bundle 'mini' was trained on"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("domain")


@pytest.fixture(autouse=True)
def store(folder, monkeypatch):
    """One store for all of these tests."""
    monkeypatch.setenv("SVDAUDIO_STORE", str(folder / "store"))
    monkeypatch.chdir(folder)


def test_a_run_its_repetition_and_its_record_note_a_photograph(cli):
    first = cli("baseline", PHOTOGRAPH, *FEW_STEPS_ARGUMENTS, "--json")
    assert first.code == 0, first.err
    (note,) = first.json()["notes"]
    assert note.startswith(f"{UNLIKE} (its tokens are ")
    assert note.endswith("; use a bundle trained on such pictures")
    again = cli("baseline", PHOTOGRAPH, *FEW_STEPS_ARGUMENTS)
    assert "0 stages computed" in again.out
    assert again.out.count(f"\nnote: {note}\n") == 1
    assert cli("show", "latest", "--json").json()["results"]["notes"] == [note]
    assert cli("show", "latest").out.count(f"\nnote: {note}\n") == 1


def test_a_batch_notes_its_pairs(cli, folder):
    pairs = folder / "pairs.csv"
    with pairs.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["original"])
        rows.writerows([[PICTURES[0]], [PHOTOGRAPH]])
    result = cli("batch", pairs, "--method", "baseline", *FEW_STEPS_ARGUMENTS)
    assert result.code == 0, result.err
    assert "note: 1 of 2 pairs have pictures unlike those that the bundle was trained on" in result.out
    (table,) = (folder / "store" / "out").glob("*.csv")
    with table.open(newline="") as file:
        found = [row["notes"].partition(" (")[0] for row in csv.DictReader(file)]
    assert found == ["", UNLIKE]


def test_the_public_function_notes_a_photograph():
    edit = main_pipeline(PHOTOGRAPH, SCENE.edited, [(670, 650)], [(756, 570)], settings=FEW_STEPS)
    (note,) = [text for text in edit.remarks if "trained on" in text]
    assert note.startswith("the original picture is unlike the pictures that the bundle 'mini' was trained on (its tok")


def copied(folder, monkeypatch):
    """A copy of the mini bundle, which commands then use."""
    shutil.copytree(project_root() / "checkpoints" / "mini", folder / "mini")
    monkeypatch.setenv("SVDAUDIO_CHECKPOINTS", str(folder))
    return folder / "mini"


def test_a_bundle_without_a_domain_notes_nothing(cli, tmp_path, monkeypatch):
    bundle = copied(tmp_path, monkeypatch)
    description = json.loads((bundle / MANIFEST).read_text())
    del description["models"]["domain"]
    (bundle / MANIFEST).write_text(json.dumps(description))
    completed = cli("baseline", PHOTOGRAPH, *FEW_STEPS_ARGUMENTS, "--json")
    assert (completed.code, completed.json()["notes"]) == (0, [])
    assert {stage["status"] for stage in completed.json()["stages"]} == {"cached"}
    result = cli("evaluate", "domain")
    assert (result.code, result.out, result.err.count("\n")) == (3, "", 1)
    assert "the bundle 'mini' has no domain" in result.err


def test_a_damaged_domain_is_a_one_line_error_before_anything_is_computed(cli, tmp_path, monkeypatch):
    bundle = copied(tmp_path, monkeypatch)
    with (bundle / "domain.safetensors").open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"xxxx")
    result = cli("baseline", PICTURES[1], *FEW_STEPS_ARGUMENTS, "--store", tmp_path / "new")
    assert (result.code, result.out, result.err.count("\n")) == (3, "", 1)
    assert "domain.safetensors does not match the description of the bundle 'mini'" in result.err
    assert not (tmp_path / "new").exists()


def test_the_share_of_photographs_that_are_flagged(cli, monkeypatch):
    few = partial(domain_evaluation.domain_figures, n_pictures=4)
    monkeypatch.setattr(domain_evaluation, "domain_figures", few)
    found = cli("evaluate", "domain", PHOTOGRAPH.parent, "--json").json()
    alarms, noticed = found["figures"]
    assert (alarms["n"], noticed["n"], noticed["value"]) == (4, 2, 1.0)
    assert all(picture["departures"] for picture in found["pictures"])
    shown = cli("evaluate", "domain", PHOTOGRAPH.parent).out
    assert f"pictures in {PHOTOGRAPH.parent} flagged" in shown.replace("\n", "")
    assert "bus.jpg: its tokens are " in shown
