"""`svdaudio evaluate zero-shot` on small data sets, with an encoder that detects the loudest of a few tones."""

from __future__ import annotations

import csv
from pathlib import Path

import data_sets
import numpy as np
import pytest
import soundfile

from svdaudio.cli import sessions as cli_sessions
from svdaudio.errors import CheckpointError
from svdaudio.mini import farm

TONES_HZ = {"low hum": 300, "mid tone": 1500, "high whistle": 6000}
LABELS = tuple(TONES_HZ)


class Encoder:
    """A one-hot embedding of the third of the mel bands that contains the loudest band."""

    preset = "published"

    def __init__(self, dim):
        self.dim = dim
        self.n_heard = 0
        self.stops_after = None

    def embed(self, mel_images):
        if self.n_heard == self.stops_after:
            raise KeyboardInterrupt
        self.n_heard += 1
        band = int(mel_images[0, 0].sum(axis=1).argmax())
        return np.eye(self.dim, dtype=np.float32)[[int(band > 20) + int(band > 60)]]


class Guide:
    """Assigns a unit vector to each text in turn."""

    def __init__(self, dim, texts=()):
        self.dim = dim
        self.texts = texts
        self.n_embedded = 0

    def embed_texts(self, texts):
        self.n_embedded += len(texts)
        return np.eye(max(self.dim, len(texts)), dtype=np.float32)[: len(texts), : self.dim]


class Bundle:
    """Named and described like a bundle; its digests go with the models."""

    name = "toy"
    title = "tones"
    settings = {}

    def __init__(self, models):
        self._models = models

    def digests(self, role):
        if role not in self._models:
            raise CheckpointError(f"the bundle 'toy' has no {role}")
        return f"{role} of {self._models[role].dim} dimensions"

    def classes(self, role):
        return self._models[role].texts

    def check_domain(self):
        return None


@pytest.fixture
def models(monkeypatch, tmp_path):
    """The models of every bundle."""
    found = {"sound_encoder": Encoder(3), "guide": Guide(3)}
    monkeypatch.setattr(cli_sessions, "open_bundle", lambda name: Bundle(found))
    monkeypatch.setattr(cli_sessions, "open_models", lambda bundle, config: found)
    monkeypatch.setenv("SVDAUDIO_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return found


@pytest.fixture
def esc50(tmp_path):
    """Two folds of tones: one sound has the wrong label, one is damaged, one is missing."""
    rows = []
    for number, (fold, label, recording) in enumerate(
        [(1, 0, "a"), (1, 1, "b"), (1, 2, "b"), (2, 0, "c"), (2, 1, "d"), (2, 1, "e"), (1, 0, "f"), (1, 0, "g")]
    ):
        rows.append(f"{fold}-{number}.wav,{fold},{label},{LABELS[label].replace(' ', '_')},False,{recording},A")
    folder = data_sets.esc50(tmp_path / "ESC-50", rows, without=["1-7.wav"])
    heard = [*(300, 1500, 6000, 300, 1500), 6000]  # the last contradicts its label
    for number, hz in enumerate(heard):
        data_sets.write_sound(folder / "audio" / rows[number].split(",")[0], hz=hz + number)
    (folder / "audio/1-6.wav").write_text("no sound")
    return folder


def test_esc50_by_folds_with_missing_and_bad_sounds(cli, models, esc50, tmp_path):
    call = cli("evaluate", "zero-shot", "--dataset", "esc50", "--root", esc50, "--out", tmp_path / "out", "--json")
    assert call.code == 0, call.err
    found = call.json()
    assert (found["sounds"], found["classes"], found["groups"]) == (6, 3, 5)
    assert found["chance"] == pytest.approx(1 / 3)
    assert [(one["name"], round(one["value"], 4), one["n"]) for one in found["figures"]] == [
        ("fold 1", 1.0, 3), ("fold 2", 0.6667, 3), ("mean of the folds", 0.8333, 6),
    ]  # fmt: skip
    assert found["confusions"] == [
        {"label": "mid tone", "heard": "high whistle", "n": 1, "share": pytest.approx(1 / 3)}
    ]
    assert {one["name"]: one["value"] for one in found["per_class"]} == {
        "mid tone": pytest.approx(2 / 3), "low hum": 1.0, "high whistle": 1.0,
    }  # fmt: skip
    assert [one["name"] for one in found["bad_sounds"]] == ["1-6"]
    assert found["first_rows_without_file"] == ["esc50.csv, line 9: audio/1-7.wav"]
    with Path(found["files"]["every sound"]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["heard"], row["right"]) for row in rows[4:]] == [
        ("2-4", "mid tone", "1"), ("2-5", "high whistle", "0"), ("1-6", "", ""),
    ]  # fmt: skip
    assert "| mean of the folds | 0.833" in (tmp_path / "out/zero-shot.md").read_text()


def test_a_second_call_embeds_nothing_and_prints_the_same(cli, models, esc50):
    words = ["evaluate", "zero-shot", "--dataset", "esc50", "--root", esc50]
    first = cli(*words)
    assert models["sound_encoder"].n_heard == 6
    second = cli(*words)
    assert (models["sound_encoder"].n_heard, models["guide"].n_embedded) == (6, 3)
    assert first.out == second.out
    assert "mean of the folds" in first.out
    assert "1-6 was not classified" in first.err
    assert "1 of 8 rows have no file" in first.err


@pytest.mark.parametrize("again", ["same", "resume"])
def test_an_interrupted_evaluation_is_resumed(cli, models, esc50, again):
    words = ["evaluate", "zero-shot", "--dataset", "esc50", "--root", esc50, "--fold", "1", "--fold", "2"]
    models["sound_encoder"].stops_after = 4
    stopped = cli(*words)
    assert stopped.code == 130
    models["sound_encoder"].stops_after = None
    finished = cli(*(words if again == "same" else ["resume"]))
    assert finished.code == 0, finished.err
    assert models["sound_encoder"].n_heard == 6
    assert "mean of the folds" in finished.out


def test_a_sound_that_fails_is_listed(cli, models, esc50):
    values = np.full(3200, np.nan, np.float32)
    soundfile.write(esc50 / "audio/1-0.wav", values, 16_000, subtype="FLOAT")
    call = cli("evaluate", "zero-shot", "--dataset", "esc50", "--root", esc50, "--json")
    assert call.code == 0, call.err
    reasons = {one["name"]: one["reason"] for one in call.json()["bad_sounds"]}
    assert set(reasons) == {"1-0", "1-6"}
    assert "NaN or infinity" in reasons["1-0"]


def test_limit_selects_evenly_spaced_sounds(cli, models, esc50):
    call = cli("evaluate", "zero-shot", "--dataset", "esc50", "--root", esc50, "--limit", "3", "--json")
    assert [(one["name"], one["n"]) for one in call.json()["figures"]] == [
        ("fold 1", 2), ("fold 2", 1), ("mean of the folds", 3),
    ]  # fmt: skip


def test_audioset_by_mean_average_precision(cli, models, tmp_path):
    data_sets.write_text(tmp_path / "class_labels_indices.csv", data_sets.AUDIOSET_CLASSES)
    rows = 'A, 0.0, 1.0, "/m/09x0r"\n-B, 0.0, 1.0, "/m/0bt9lr,/m/0jbk"\nC, 0.0, 1.0, "/m/0jbk"\n'
    data_sets.write_text(tmp_path / "eval_segments.csv", data_sets.AUDIOSET_COMMENTS + rows)
    for name, hz in (("YA", 300), ("Y-B", 1500), ("YC", 300)):
        data_sets.write_sound(tmp_path / "audio" / f"{name}.wav", hz=hz)
    call = cli("evaluate", "zero-shot", "--dataset", "audioset", "--root", tmp_path, "--json")
    assert call.code == 0, call.err
    found = call.json()
    # Speech: A and C are nearest, one is correct, 1/2. Dog: B is first, 1. Animal: all tie, two of three, 2/3.
    assert {one["name"]: one["value"] for one in found["per_class"]} == {
        "Speech": pytest.approx(0.5), "Animal, pet": pytest.approx(2 / 3), "Dog": 1.0,
    }  # fmt: skip
    assert found["figures"][0]["value"] == pytest.approx((0.5 + 2 / 3 + 1) / 3)
    assert found["chance"] == pytest.approx((1 / 3 + 1 / 3 + 2 / 3) / 3)
    assert found["confusions"] == []


def test_farm_sounds_are_generated_and_have_goals(cli, models, tmp_path):
    models.update(sound_encoder=Encoder(9), guide=Guide(9, texts=farm.CLASSES))
    words = ["evaluate", "zero-shot", "--dataset", "farm", "--limit", "2", "--out", tmp_path / "out", "--json"]
    call = cli(*words)
    assert call.code == 0, call.err
    found = call.json()
    assert [(one["name"], one["n"], one["goal"]) for one in found["figures"]] == [
        ("fold one", 2, "≥ 0.97"), ("fold two", 2, "≥ 0.90"),
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "out/sounds").iterdir()) == [
        "one-000.wav", "one-001.wav", "two-000.wav", "two-001.wav",
    ]  # fmt: skip
    with Path(found["files"]["every sound"]).open(newline="") as file:
        assert [len(row["labels"].split("; ")) for row in csv.DictReader(file)] == [1, 1, 2, 2]
    assert cli(*words).json()["figures"] == found["figures"]
    assert models["sound_encoder"].n_heard == 4


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--dataset", "esc50"], "no folder given for esc50. Add --root FOLDER."),
        (["--dataset", "vggsound", "--root", "ESC-50"], "ESC-50 does not contain vggsound"),
        (["--dataset", "esc50", "--root", "ESC-50", "--fold", "3"], "unknown fold '3': expected 1 or 2"),
        (["--dataset", "farm", "--root", "ESC-50"], "--root does not apply to the farm"),
    ],
)
def test_an_invalid_evaluation_is_a_one_line_error(cli, models, esc50, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    call = cli("evaluate", "zero-shot", *words)
    assert call.code == 2
    assert call.out == ""
    assert says in call.err
    assert len(call.err.strip().splitlines()) == 1


def test_incompatible_models_are_refused(cli, models, esc50):
    words = ["evaluate", "zero-shot", "--dataset", "esc50", "--root", esc50]
    models["guide"] = Guide(3, texts=("cat", "dog"))
    call = cli(*words)
    assert (call.code, models["sound_encoder"].n_heard) == (2, 0)
    assert "no embedding for that text: expected cat or dog, got 'low hum'" in call.err
    models["guide"] = Guide(4)
    call = cli(*words)
    assert call.code == 3
    assert "have different spaces: expected 4 dimensions, as in the guide, got 3" in call.err
    del models["guide"]
    call = cli(*words)
    assert (call.code, "has no guide" in call.err) == (3, True)
