"""Sounds in other formats and at other sample rates on the command line, with toy models."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
import toy_method
from toy_method import PAIR


@pytest.fixture
def world(monkeypatch, tmp_path):
    toy_method.install(monkeypatch, tmp_path)
    return tmp_path


def test_a_copy_has_the_format_of_its_suffix_and_names_the_run_and_its_command(world, cli):
    result = cli("run", *PAIR, "--set", "svd.k=3", "--out", "sound.flac", "--rate", "48000", "--json").json()
    with soundfile.SoundFile("sound.flac") as file:
        assert (file.samplerate, file.frames, file.format) == (48_000, 480_000, "FLAC")
        title, comment = file.title, file.comment
    assert title == "manipulated: one.png, two.png"
    assert comment.startswith(f"run {result['run']}: svdaudio run one.png two.png --method manipulate --set ")
    assert "svd.k=3" in comment
    assert "generate.steps" not in comment, "recommended settings of the bundle are not listed"
    import shlex

    words = shlex.split(comment.partition(": svdaudio ")[2])
    again = cli(*words, "--json").json()
    assert {stage["status"] for stage in again["stages"]} == {"cached"}
    plain = cli("run", *PAIR, "--set", "svd.k=3", "--out", "sound.wav", "--json").json()
    assert Path("sound.wav").read_bytes() == Path(again["audio"]["manipulated"]).read_bytes()
    assert plain["audio"]["manipulated"] == str(world / "sound.wav")


def test_each_pair_of_a_batch_has_its_own_format(world, cli):
    (world / "pairs.csv").write_text(
        'original,edited,remove,add,out\none.png,two.png,"20,20","40,30",a.ogg\ntwo.png,one.png,"20,20","40,30",b.mp3\n'
    )
    assert cli("batch", "pairs.csv", "--no-baselines").code == 0
    assert [soundfile.info(name).format for name in ("a.ogg", "b.mp3")] == ["OGG", "MP3"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "x.aiff"], "expected a name that ends in .wav or .flac or .ogg or .mp3, got x.aiff"),
        (["--out", "x.mp3", "--rate", "8000"], "a sound cannot be written at 8000 Hz"),
        (["--rate", "44100"], "--rate would have no effect without --out"),
    ],
)
def test_an_unsupported_format_is_refused_before_anything_is_computed(world, cli, options, message):
    result = cli("run", *PAIR, *options)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert message in result.err
    assert not (world / "store").exists()
