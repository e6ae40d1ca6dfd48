"""The mixer with sounds, texts and a negative text in addition to the picture, with the mini bundle."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import soundfile
from farm_scene import AUDIBLE_ARGUMENTS, FEW_STEPS_ARGUMENTS, PICTURES

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.mini.farm import FARM

OWL = FARM / "sounds" / "owl.ogg"


def samples(path):
    return soundfile.read(path, dtype="float32")[0]


def computed(result):
    return {stage["stage"] for stage in result["stages"] if stage["status"] == "computed"}


def test_a_sound_and_a_text_are_mixed_with_the_picture_or_alone(mix):
    alone = mix("--sound", OWL, "--gain", "rest=-inf", *AUDIBLE_ARGUMENTS)
    assert alone["scores"]["mix"]["owl"] > 0.9
    assert alone["scores"]["mix"]["cat"] < 0.5
    [finding] = alone["verdict"]
    assert (finding["object"], finding["wanted"], finding["ok"]) == ("owl", "added", True)

    spoken = mix("--text", "bird=owl", "--gain", "bird=3", *AUDIBLE_ARGUMENTS)
    assert spoken["scores"]["mix"]["owl"] > 0.5 > spoken["scores"]["original"]["owl"]
    assert [one["text"].partition(" (")[0] for one in spoken["verdict"]] == ["bird"]
    assert computed(spoken) >= {"bird.describe", "mix.overlay", "mix.diffuse"}
    assert not computed(spoken) & {"original.diffuse", "original.remix"}


def test_a_negative_text_lowers_its_score(mix):
    found = mix("--without-text", "dog", *AUDIBLE_ARGUMENTS)
    assert found["scores"]["original"]["dog"] > 0.9
    assert found["scores"]["mix"]["dog"] < 0.1
    assert found["scores"]["mix"]["cat"] > 0.9
    assert [(one["object"], one["wanted"], one["ok"]) for one in found["verdict"]] == [("dog", "silenced", True)]


def test_a_sound_is_its_own_stem_at_its_exact_gain(mix, cli):
    arguments = ["--stems", "--sound", f"owl={OWL}", "--text", "duck", "--without-text", "cow", *FEW_STEPS_ARGUMENTS]
    first = mix(*arguments)
    assert first["audio"]["stems"].keys() == {"owl", "duck", "rest"}
    stems = {name: samples(path) for name, path in first["audio"]["stems"].items()}
    assert np.array_equal(samples(first["audio"]["mix"]), stems["duck"] + stems["owl"] + stems["rest"])
    assert "the sound lasts" in cli("show", "latest").out
    assert "owl.diffuse" not in computed(first)

    softer = mix(*arguments, "--gain", "owl=-6.5")
    heard = np.abs(stems["owl"]) > 1e-3
    ratio = samples(softer["audio"]["stems"]["owl"])[heard] / stems["owl"][heard]
    np.testing.assert_allclose(20 * np.log10(ratio), -6.5, atol=1e-4)
    assert computed(softer) == {"owl.gain", "mix.mixdown", "mix.scores"}


def test_sounds_in_a_parameter_file_are_relative_to_it(mix, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "owl.ogg").write_bytes(OWL.read_bytes())
    file = tmp_path / "here" / "mix.toml"
    file.write_text('form = "clap"\n[sounds]\nowl = "owl.ogg"\n[texts]\nbird = "duck"\n[gains]\nowl = "-inf"\n')
    found = mix("--config", file, *FEW_STEPS_ARGUMENTS)
    assert "bird.describe" in computed(found)
    assert "owl.listen" not in computed(found), "a silent source is not computed"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sound", "none.wav"], "file not found: none.wav"),
        (["--sound", PICTURES[0]], "is not a readable audio file"),
        (["--sound", "rain="], "a source cannot be read"),
        (["--sound", f"rest={OWL}"], "'rest' is a reserved name"),
        (["--sound", OWL, "--text", "owl"], "there are two sources 'owl'"),
        (
            ["--text", "rain"],
            "expected cat or chicken or cow or dog or duck or horse or owl or pig or sheep, got 'rain'",
        ),
        (["--without-text", "speech"], "the bundle has no embedding for that text"),
        (["--without-text", "cat", "--set", "generate.guidance_scale=1"], "without_text needs guidance"),
        (["--text", "owl", "--gain", "rain=-6"], "unknown name 'rain' in gains"),
    ],
)
def test_an_invalid_source_is_a_one_line_error(cli, tmp_path, arguments, message):
    result = cli("mix", PICTURES[0], *arguments, "--store", tmp_path / "store")
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not list((tmp_path / "store").glob("runs/*.json"))


def test_a_bundle_without_a_text_encoder_is_a_one_line_error(cli, tmp_path, monkeypatch):
    folder = shutil.copytree(Bundle.open("mini").entry("tagger").path.parent, tmp_path / "checkpoints" / "deaf")
    described = json.loads((folder / "bundle.json").read_text())
    del described["models"]["text_encoder"]
    (folder / "bundle.json").write_text(json.dumps(described))
    monkeypatch.setenv("SVDAUDIO_CHECKPOINTS", str(tmp_path / "checkpoints"))
    result = cli("mix", PICTURES[0], "--text", "owl", "--bundle", "deaf", "--store", tmp_path / "store")
    assert (result.code, result.err.count("\n")) == (3, 1)
    assert "the bundle 'deaf' has no text_encoder" in result.err
