"""The mixer with the mini bundle: mutes, faders, stems and errors."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from farm_scene import AUDIBLE_ARGUMENTS, FEW_STEPS_ARGUMENTS, PICTURES

OBJECTS = ["--object", "cat=756,581", "--object", "dog=300,450"]


def samples(path):
    return soundfile.read(path, dtype="float32")[0]


def statuses(result):
    return {stage["stage"]: stage["status"] for stage in result["stages"]}


def test_a_muted_animal_is_silent_and_its_neighbour_stays(mix, cli):
    muted = mix("756,581", *AUDIBLE_ARGUMENTS, command="mute")
    assert muted["audio"].keys() == {"original", "mix", "stems"}
    assert muted["scores"]["original"]["cat"] > 0.9
    assert muted["scores"]["mix"]["cat"] < 0.1
    assert muted["scores"]["mix"]["dog"] > 0.9
    [finding] = muted["verdict"]
    assert (finding["object"], finding["class_name"], finding["ok"]) == ("object", "cat", True)
    assert finding["text"].startswith("object (cat): silenced (")

    # the same by name: more objects do not change the sound
    again = mix(*OBJECTS, "--gain", "cat=-inf", *AUDIBLE_ARGUMENTS)
    assert again["scores"] == muted["scores"]
    computed = {name for name, status in statuses(again).items() if status == "computed"}
    assert computed == {"dog.mask", "without.cat.keep", "mix.fade"}
    assert [one["text"].partition(" (")[0] for one in again["verdict"]] == ["cat: silenced", "dog: kept"]
    shown = cli("show", "latest")
    assert "✓ cat: silenced" in shown.out
    assert "without.cat.remix" in shown.out


def test_without_a_gain_the_mix_is_the_plain_sound(mix):
    plain = mix(*OBJECTS, *FEW_STEPS_ARGUMENTS)
    assert samples(plain["audio"]["mix"]).tolist() == samples(plain["audio"]["original"]).tolist()
    assert plain["scores"]["mix"] == plain["scores"]["original"]
    found = statuses(plain)
    for stage in ("diffuse", "decode", "vocode", "choose", "finish", "scores"):
        assert {found[f"mix.{stage}"], found[f"original.{stage}"]} == {"cached"}, "the computation is shared"


def test_stems_add_up_and_gains_are_exact(mix, tmp_path):
    first = mix(*OBJECTS, "--stems", "--stems-out", tmp_path / "stems.wav", *FEW_STEPS_ARGUMENTS)
    assert first["audio"]["stems"].keys() == first["scores"]["stems"].keys() == {"cat", "dog", "rest"}
    stems = {name: samples(path) for name, path in first["audio"]["stems"].items()}
    assert np.array_equal(samples(first["audio"]["mix"]), stems["cat"] + stems["dog"] + stems["rest"])
    with soundfile.SoundFile(tmp_path / "stems.wav") as file:
        assert (file.channels, file.subtype, file.title) == (3, "FLOAT", "cat, dog, rest: dog_cat.jpg")
        assert np.array_equal(file.read(dtype="float32"), np.stack(list(stems.values()), 1))
    assert not stems["rest"].any(), "nothing is detected outside the objects"

    second = mix(*OBJECTS, "--stems", "--gain", "cat=-6.5", "--gain", "dog=-inf", *FEW_STEPS_ARGUMENTS)
    softer = samples(second["audio"]["stems"]["cat"])
    heard = np.abs(stems["cat"]) > 1e-3
    np.testing.assert_allclose(20 * np.log10(softer[heard] / stems["cat"][heard]), -6.5, atol=1e-4)
    assert not samples(second["audio"]["stems"]["dog"]).any()
    computed = {name for name, status in statuses(second).items() if status == "computed"}
    assert computed == {"cat.gain", "dog.gain", "mix.mixdown", "mix.scores"}

    louder = mix(*OBJECTS, "--stems", "--set", "master.loudness_lufs=-20", *FEW_STEPS_ARGUMENTS)
    ratio = samples(louder["audio"]["stems"]["cat"])[heard] / stems["cat"][heard]
    assert np.ptp(ratio) < 1e-5
    assert ratio[0] != pytest.approx(1)
    whole = sum(samples(path) for path in louder["audio"]["stems"].values())
    np.testing.assert_allclose(samples(louder["audio"]["mix"]), whole, atol=1e-7)


def test_every_detected_object_can_be_a_stem(mix):
    found = mix("--all-objects", "--stems", "--gain", "cat=-6", *FEW_STEPS_ARGUMENTS)
    assert found["audio"]["stems"].keys() == {"cat", "dog", "rest"}


def test_the_embeddings_of_objects_can_be_mixed(mix):
    found = mix(*OBJECTS, "--set", "form=clap", "--gain", "cat=-6", *FEW_STEPS_ARGUMENTS)
    assert {"cat.crop", "dog.remix", "rest.keep", "mix.blend"} <= statuses(found).keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing given to mix"),
        ([*OBJECTS, "--stems-out", "s.wav"], "--stems-out would have no effect without --stems"),
        ([*OBJECTS, "--stems", "--stems-out", "s.aiff"], "s.aiff"),
        (["--object", "756,581"], "an object has no name"),
        (["--object", "mix=756,581"], "'mix' is a reserved name"),
        (["--object", "cat=7560,581"], "outside the picture dog_cat.jpg"),
        (["--object", "cat=none.png"], "none.png"),
        ([*OBJECTS, "--gain", "cat"], "a gain cannot be read"),
        ([*OBJECTS, "--gain", "cat=loud"], "a gain cannot be read"),
        ([*OBJECTS, "--gain", "cat=99"], "a gain from -60 to 24 dB, or -inf"),
        ([*OBJECTS, "--gain", "owl=-6"], "unknown name 'owl' in gains"),
        ([*OBJECTS, "--gain", "cat=-6", "--gain", "cat=-7"], "'cat' has two gains"),
        ([*OBJECTS, *(f"--gain={name}=-inf" for name in ("cat", "dog", "rest"))], "everything is silenced"),
    ],
)
def test_invalid_arguments_are_a_one_line_error(cli, tmp_path, arguments, message):
    result = cli("mix", PICTURES[0], *arguments, "--store", tmp_path / "store")
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "store" / "runs").exists() or not list((tmp_path / "store" / "runs").glob("*.json"))
