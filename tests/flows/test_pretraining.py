"""Training on a user's folder on the command line, and using the result."""

from __future__ import annotations

import json

import pytest
from pair_folder import write_pairs
from tiny_guide import write_guide_bundle

QUICK = [
    word
    for setting in ("network.widths=[8,8,8,8]", "batch=4", "epochs=2", "workers=0", "split.held_out=0.3")
    for word in ("--set", setting)
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with pairs, and folders for bundles, stores and trainings."""
    monkeypatch.setenv("SVDAUDIO_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("SVDAUDIO_STORE", str(tmp_path / "store"))
    write_pairs(tmp_path / "farm", 12)
    return tmp_path


def test_ciap_is_trained_once(cli, place):
    arguments = ["train", "ciap", "--data", place / "farm", "--work", place / "work", *QUICK]
    result = cli(*arguments, "--set", "network.image_size=32", "--json")
    assert result.code == 0, result.err
    assert (result.json()["bundle"], result.json()["n_steps"]) == ("ciap-farm", 4)
    assert "epoch 2, step 4 of 4, picture to sound: recall@1" in result.err
    again = cli(*arguments, "--set", "network.image_size=32")
    assert "the bundle ciap-farm was trained before" in again.out
    assert "picture to sound: class recall@1" in again.out


def test_a_sound_encoder_is_trained_and_used_by_hear(cli, place):
    guide = write_guide_bundle(place / "checkpoints")
    config = place / "settings.yaml"
    config.write_text("spec_augment: {rounds: 1}\nsound: {place: centre, preset: published}\ntext.template: '{}'\n")
    result = cli(
        "train", "sound-encoder", "--data", place / "farm", "--work", place / "work", "--base", guide, "--name", "ears",
        "--config", config, *QUICK, "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert any(one["name"].startswith("sound to the text of its label, of 3") for one in result.json()["figures"])
    heard = cli("hear", place / "farm" / "cat0.wav", "--bundle", "ears", "--json")
    assert heard.code == 0, heard.err
    assert '"hear.preset": "published"' in (place / "checkpoints" / "ears" / "bundle.json").read_text()


def test_faults_in_the_data_are_listed_before_anything_is_trained(cli, place):
    (place / "farm" / "cat0.wav").write_bytes(b"")
    (place / "farm" / "dog1.png").unlink()
    result = cli("train", "ciap", "--data", place / "farm", "--work", place / "work", *QUICK)
    assert result.code == 2
    lines = result.err.splitlines()
    assert [line.split(":")[0] for line in lines[-3:]] == ["  cat0", "  dog1", "error"]
    assert "the data set has 2 faults. Correct them, or skip them with --skip-bad." in lines[-1]
    assert not (place / "checkpoints" / "ciap-farm").exists()


def test_an_interrupted_training_prints_how_to_resume(cli, place, monkeypatch):
    def interrupted(request, listener):
        raise KeyboardInterrupt

    monkeypatch.setattr("svdaudio.studies.pretraining.pretrain", interrupted)
    result = cli("train", "ciap", "--data", place / "farm", "--name", "two words", "--set", "batch=4", "--skip-bad")
    assert result.code == 130
    command = f"svdaudio train ciap --data {place / 'farm'} --name 'two words' --set batch=4 --skip-bad"
    assert result.err.splitlines()[-1] == f"interrupted; resume with: {command}"


def test_several_devices_run_as_processes_of_the_same_command(cli, place, monkeypatch):
    started = []
    monkeypatch.setattr("svdaudio.pretraining.launch.launch", lambda command, n: started.append((command, n)))
    result = cli("train", "ciap", "--data", place / "farm", "--devices", 3, "--set", "batch=6", "--json")
    assert (result.code, result.out) == (0, "")
    ((command, n),) = started
    assert n == 3
    assert command[-9:] == [
        "train", "ciap", "--data", str(place / "farm"), "--set", "batch=6", "--devices", "3", "--json",
    ]  # fmt: skip
    invalid = cli("train", "ciap", "--data", place / "farm", "--devices", 3, "--set", "batch=x")
    assert (invalid.code, len(started)) == (2, 1)


def test_an_example_of_all_settings(cli, place):
    result = cli("train", "sound-encoder", "--example-config", "--preset", "published")
    assert result.code == 0
    (place / "all.toml").write_text(result.out)
    assert "batch = 320" in result.out
    assert "no data given: expected --data FOLDER" in cli("train", "ciap").err
    wrong = cli("train", "ciap", "--data", place / "farm", "--config", place / "all.toml")
    assert (wrong.code, json.dumps(wrong.out)) == (2, '""')
    assert "unknown setting 'loss.text'" in wrong.err or "unknown setting 'sound.preset'" in wrong.err
