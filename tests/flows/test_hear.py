"""`svdaudio hear`: labels, a file of labels, pictures, one-line errors, and batches of sounds."""

from __future__ import annotations

import pytest


@pytest.fixture
def place(hearing, monkeypatch):
    monkeypatch.chdir(hearing)
    monkeypatch.setenv("SVDAUDIO_STORE", str(hearing / "store"))
    return hearing


def test_labels_and_pictures_as_json(cli, place):
    (place / "pictures" / "bad.png").write_bytes(b"x")
    (place / "labels.txt").write_text("owl\n\n dog \n")
    arguments = ("a.wav", "--bundle", "hearing", "--labels", "labels.txt", "--pictures", "pictures", "--top", "2")
    found = cli("hear", *arguments, "--json").json()
    assert list(found["labels"]) == ["owl", "dog"]
    assert sum(row["probability"] for row in found["labels"].values()) == pytest.approx(1, abs=1e-5)
    assert [row["status"] for row in found["stages"]] == ["computed"] * 5
    assert len(found["pictures"]["nearest"]) == 2
    assert list(found["pictures"]["unreadable"]) == ["pictures/bad.png"]
    assert (found["pictures"]["n_pictures"], found["pictures"]["n_computed"]) == (3, 3)
    again = cli("hear", *arguments)
    assert again.code == 0
    assert "0 stages computed, 5 cached" in again.out
    assert "of 3 pictures, 0 of which were embedded now" in again.out
    assert "skipped: pictures/bad.png is not an image" in again.err
    assert cli("resume", "latest").code == 0
    assert "sound.match" in cli("inspect", "latest").out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--bundle", "hearing", "--labels", "cow"), 2, "no embedding for that text"),
        (("--bundle", "hearing", "--labels", "gone.txt"), 2, "the labels gone.txt cannot be read"),
        (("--bundle", "hearing", "--labels", "pictures"), 2, "pictures is not a file of labels"),
        (("--bundle", "hearing", "--pictures", "gone"), 2, "gone is not a folder"),
        (("--bundle", "hearing", "--template", "x"), 2, "no placeholder for the label"),
        (("--bundle", "mini"), 3, "has no sound_encoder"),
    ],
)
def test_invalid_arguments_are_a_one_line_error(cli, place, arguments, code, words):
    result = cli("hear", "a.wav", *arguments)
    assert (result.code, result.out, result.err.count("\n")) == (code, "", 1)
    assert words in result.err


def test_a_batch_of_sounds(cli, place):
    (place / "b.wav").write_bytes((place / "a.wav").read_bytes())
    (place / "sounds.csv").write_text('sound,hear.labels\na.wav,"cat,owl"\nb.wav,"cat,dog"\n')
    result = cli("batch", "sounds.csv", "--method", "hear", "--bundle", "hearing", "--table", "out.csv", "--json")
    assert result.code == 0, result.err
    table = (place / "out.csv").read_text()
    assert "sound.cat,sound.owl,cosine.cat,cosine.owl" in table
