"""The example of docs/pretraining.md, unchanged except for fewer epochs and a smaller network."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest
from farm_scene import FEW_STEPS
from pair_folder import write_pairs

from svdaudio.pretraining.pairs import find_pairs
from svdaudio.pretraining.settings import SoundEncoderSettings
from svdaudio.pretraining.settings_files import resolve_settings

TEXT = (Path(__file__).parents[2] / "docs" / "pretraining.md").read_text()
SECTION = TEXT.partition("## Train on your own folder")[2].partition("\n## ")[0]
QUICK = ["batch=4", "epochs=1", "workers=0", "network.widths=[8,8,8,8]", "network.image_size=32"]
FEW = [f"{name}={value}" for name, value in FEW_STEPS.items() if "remix" not in name]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", SECTION, flags=re.DOTALL)


@pytest.fixture
def birds(tmp_path, monkeypatch):
    """The current folder, with the folder of the example and more files of the same kind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SVDAUDIO_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("SVDAUDIO_STORE", str(tmp_path / "store"))
    pairs = write_pairs(tmp_path / "birds", 8, with_labels=False)
    import soundfile

    for stem in ("garden/robin1", "robin2"):
        place = pairs / stem
        place.parent.mkdir(exist_ok=True)
        shutil.copy(pairs / "cat0.png", place.with_suffix(".png"))
        samples, rate_hz = soundfile.read(pairs / "cat0.wav")
        soundfile.write(place.with_suffix(".flac"), samples * 0.9, rate_hz)
    (pairs / "labels.csv").write_text(blocks("csv")[0])
    (tmp_path / "birds.toml").write_text(blocks("toml")[0])
    return pairs


def test_the_commands_of_the_example(cli, birds, tmp_path):
    found = find_pairs(birds)
    assert found.faults == ()
    assert {item.name: item.labels for item in found.items if item.labels} == {
        "garden/robin1": ("robin",),
        "robin2": ("robin", "rain"),
    }
    train, use = [shlex.split(line.removeprefix("$ "))[1:] for line in blocks("console")[0].splitlines()]
    for words, more in ((train, [*QUICK, "--work", tmp_path / "work"]), (use, FEW)):
        settings = [
            word for one in more for word in (("--set", one) if isinstance(one, str) and "=" in one else (one,))
        ]
        result = cli(*words, *settings)
        assert result.code == 0, result.err
    assert (tmp_path / "checkpoints" / "birds" / "card.md").is_file()


def test_the_table_of_synonyms(tmp_path):
    path = tmp_path / "words.toml"
    path.write_text(blocks("toml")[1])
    settings = resolve_settings(SoundEncoderSettings, file=path)
    assert settings.text.synonyms == {
        name: tuple(words) for name, words in tomllib.loads(blocks("toml")[1])["text"]["synonyms"].items()
    }
