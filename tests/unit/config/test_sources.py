"""Sounds and texts by name, and the paths of tables."""

from __future__ import annotations

import pytest

from svdaudio.config import check_text, collect_sources, resolve
from svdaudio.errors import ConfigError
from svdaudio.methods.mixer import MixerConfig


def test_a_source_is_named_explicitly_or_after_its_file_or_text():
    texts = ["rain=a/b.wav", "sounds/my owl.ogg", "distant thunder", "duck"]
    assert collect_sources(texts) == {
        "rain": "a/b.wav", "my-owl": "sounds/my owl.ogg", "distant-thunder": "distant thunder", "duck": "duck",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["rain="], "a source cannot be read"),
        (["=rain.wav"], "a source cannot be read"),
        (["?.wav"], "a source cannot be read"),
        (["1.wav"], "not a valid object name"),
        (["a b=rain.wav"], "not a valid object name"),
        (["rain.wav", "a/rain.ogg"], "two sources 'rain'"),
    ],
)
def test_invalid_sources_are_refused(texts, message):
    with pytest.raises(ConfigError, match=message):
        collect_sources(texts)


def test_paths_are_relative_to_the_file_that_names_them_and_texts_and_gains_unchanged(tmp_path):
    file = tmp_path / "mix.toml"
    file.write_text(
        '[sounds]\nrain = "rain.wav"\n[texts]\nowl = "an owl; at night"\n[gains]\nrain = "-inf"\nowl = -6\n'
    )
    config = resolve(MixerConfig, config_file=file).config
    assert config.sounds == {"rain": str(tmp_path / "rain.wav")}
    assert config.texts == {"owl": "an owl; at night"}
    assert config.gains == {"rain": "-inf", "owl": -6, "rest": 0}
    file.write_text('sounds = "rain.wav;owl=a/b.wav"\n')
    assert resolve(MixerConfig, config_file=file).config.sounds == {
        "rain": str(tmp_path / "rain.wav"), "owl": str(tmp_path / "a" / "b.wav"),
    }  # fmt: skip
    assert resolve(MixerConfig, overrides=["sounds=rain.wav"]).config.sounds == {"rain": "rain.wav"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sounds.rest=a.wav"], "'rest' is a reserved name"),
        (["sounds.rain=a.wav", "texts.rain=rain"], "two sources 'rain'"),
        (["objects.cat=1,2", "texts.cat=cat"], "two sources 'cat'"),
        (["without_text=speech", "generate.guidance_scale=1"], "without_text needs guidance"),
        (["without_text=speech", "generate.noise=joint", "generate.candidates=2"], "noise of their own"),
        (["without_text="], "without_text has an invalid value"),
    ],
)
def test_incompatible_settings_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        resolve(MixerConfig, overrides=overrides)


def test_an_encoder_of_fixed_texts_lists_them():
    check_text("cat", ["cat", "dog"])
    with pytest.raises(ConfigError, match="cat or dog, got 'rain'"):
        check_text("rain", ["cat", "dog"])
