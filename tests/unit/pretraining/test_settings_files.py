import tomllib

import pytest
import yaml

from svdaudio.errors import ConfigError
from svdaudio.pretraining.settings import PRESETS, CiapSettings, SoundEncoderSettings
from svdaudio.pretraining.settings_files import example_file, flat, parameters_of, resolve_settings

SCHEMAS = (CiapSettings, SoundEncoderSettings)


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("preset", ["default", "published"])
def test_the_example_file_has_every_setting_and_changes_none(tmp_path, schema, preset):
    text = example_file(schema, preset=preset)
    path = tmp_path / "all.toml"
    path.write_text(text)
    assert resolve_settings(schema, file=path) == resolve_settings(schema, preset=preset)
    as_yaml = tmp_path / "all.yaml"
    as_yaml.write_text(yaml.safe_dump(tomllib.loads(text)))
    assert resolve_settings(schema, file=as_yaml) == resolve_settings(schema, preset=preset)
    assert text.count("\n# ") >= len(parameters_of(schema))


def test_later_sources_take_precedence(tmp_path):
    path = tmp_path / "mine.yml"
    path.write_text("batch: 16\nlearning_rate: 1e-4\nschedule:\n  form: step\nschedule.factor: 0.1\n")
    settings = resolve_settings(
        CiapSettings,
        preset="published",
        file=path,
        overrides=["batch=8", "network.widths=[8, 8, 8, 8]", "split.fold=5"],
    )
    assert (settings.batch, settings.learning_rate, settings.schedule.form) == (8, 1e-4, "step")
    assert (settings.schedule.factor, settings.epochs, settings.network.widths) == (0.1, 110, (8, 8, 8, 8))
    assert settings.split.fold == "5"
    assert flat(settings)["network.widths"] == [8, 8, 8, 8]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["lerning_rate=1"], "unknown setting 'lerning_rate' (from --set). Perhaps you mean 'learning_rate'."),
        (["qqq=1"], "`--example-config` lists them."),
        (["batch"], "invalid setting: expected name=value"),
        (["batch=1"], "batch has an invalid value (from --set): expected a whole number from 2, got 1."),
        (["network.widths=[1, 2]"], "network.widths has an invalid value (from --set): expected four whole numbers"),
        (["network.widths=[0, 8, 8, 8]"], "network.widths has an invalid value"),
        (["optimiser=lion"], 'expected "adamw", "adam" or "sgd", got \'lion\''),
        (["sound.n_crops=2"], "sound.n_crops above 1 needs random parts. Add --set sound.place=random."),
        (["loss.cosine=0", "loss.contrastive=0"], "the loss has no term"),
    ],
)
def test_invalid_settings_are_refused_in_one_line(overrides, message):
    with pytest.raises(ConfigError) as caught:
        resolve_settings(CiapSettings, overrides=overrides)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["text.replace=1"], "text.replace and text.insert need synonyms"),
        (["text.template=dog"], "text.template has an invalid value: expected a text with {}"),
        (["spec_augment.rounds=0", "sound.place=start"], "both views of a sound would be the same"),
        (["loss.text=0", "loss.view=0", "loss.picture=0"], "the loss has no term"),
        (["text.synonyms=nowhere.toml"], "the settings nowhere.toml cannot be read"),
    ],
)
def test_sounds_have_checks_of_their_own(overrides, message):
    with pytest.raises(ConfigError) as caught:
        resolve_settings(SoundEncoderSettings, overrides=overrides)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "batch = ", "are not TOML"),
        ("a.yaml", "batch: [", "are not YAML"),
        ("a.yaml", "- batch", "expected names with values, got list"),
        ("a.json", "{}", "a name that ends in .toml, .yaml or .yml"),
        ("a.toml", "[schedule]\nfrom = 'step'", "unknown setting 'schedule.from'"),
        ("a.toml", "schedule.form = 'step'\n[split]\nheld_out = 2", "split.held_out has an invalid value"),
    ],
)
def test_unusable_files_are_refused(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        resolve_settings(CiapSettings, file=path)
    assert message in str(caught.value)


def test_an_unknown_preset_is_refused():
    with pytest.raises(ConfigError, match="unknown preset: expected default or published, got best"):
        resolve_settings(CiapSettings, preset="best")


def test_synonyms_are_a_table_or_a_file_next_to_the_settings(tmp_path):
    (tmp_path / "words.toml").write_text('dog = ["hound", "puppy"]\n')
    by_file, inline = tmp_path / "a.toml", tmp_path / "b.toml"
    by_file.write_text('text.synonyms = "words.toml"\ninit = "weights.pth"\n')
    inline.write_text('[text.synonyms]\ndog = ["hound", "puppy"]\n')
    for path in (by_file, inline):
        settings = resolve_settings(SoundEncoderSettings, file=path)
        assert settings.text.synonyms == {"dog": ("hound", "puppy")}
    assert resolve_settings(SoundEncoderSettings, file=by_file).init == str(tmp_path / "weights.pth")
    (tmp_path / "words.toml").write_text("dog = 3\n")
    with pytest.raises(ConfigError, match=r"the synonyms .* cannot be read: expected lists of words"):
        resolve_settings(SoundEncoderSettings, file=by_file)


def test_published_presets_match_the_code_of_the_authors():
    sound = resolve_settings(SoundEncoderSettings, preset="published")
    assert 1 / sound.temperature == pytest.approx(2.718281828459045**0.07)
    assert (sound.batch, sound.optimiser, sound.weight_decay, sound.targets) == (320, "sgd", 5e-4, "identity")
    assert (sound.schedule.form, sound.schedule.low, sound.learning_rate) == ("cyclic", 0.001, 0.1)
    ciap = resolve_settings(CiapSettings, preset="published")
    assert (ciap.batch, ciap.optimiser, ciap.temperature, ciap.loss.cosine) == (32, "adam", 0.07, 0)
    assert all(presets.keys() == {"default", "published"} for presets in PRESETS.values())
