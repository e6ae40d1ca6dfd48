"""Evaluations by judges: two that disagree, sounds that cannot be judged, sets and their reference."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from svdaudio.errors import InputError
from svdaudio.studies.listening import file_item, listen, pair_item
from svdaudio.studies.sound_pairs import SoundPair

LOUD, SOFT = 6.0, -6.0


class Levels:
    """A tagger that hears its nth class in a sound of level n/10, and encoders that depend on the level."""

    def __init__(self, *classes):
        self.classes = classes

    def hear(self, waveforms, rate_hz):
        level = round(float(waveforms.abs().max()) * 10)
        logits = torch.tensor([[LOUD if level == index + 1 else SOFT for index in range(len(self.classes))]])
        return SimpleNamespace(logits=logits, embedding=torch.tensor([[float(level), 1.0]]))

    def embed(self, given, rate_hz=None):
        if rate_hz is None:
            return torch.tensor([[1.0, 0.0] for _ in given])
        angle = given.abs().max() * 3.0
        return torch.stack([angle.cos(), angle.sin()])[None]


class ToyBundle:
    """Two judges, one of which has its classes in another order, and CLAP."""

    name = "toy"
    judges = ("tagger", "judge")
    roles = (*judges, "audio_encoder", "text_encoder")

    def entry(self, role):
        return SimpleNamespace(format="transformers-ast" if role == "judge" else "svdaudio")


MODELS = {
    "tagger": Levels("cat", "dog", "duck"), "judge": Levels("duck", "dog", "cat"), "audio_encoder": Levels(),
    "text_encoder": Levels(),
}  # fmt: skip


@pytest.fixture
def sound(tmp_path):
    """Write a sound of a level in tenths, and return its path."""

    def write(name, level, *, seconds=1.5, folder=""):
        (tmp_path / folder).mkdir(exist_ok=True)
        path = tmp_path / folder / f"{name}.wav"
        samples = level / 10 * np.cos(np.arange(round(8000 * seconds * 2)) * np.pi / 8)
        soundfile.write(path, samples, 16_000, subtype="FLOAT")
        return path

    return write


def pair(sound, name="edit", levels=(1, 3, 3), **changes):
    kinds = ("original", "edited", "manipulated")
    sounds = {kind: sound(f"{name}-{kind}", level) for kind, level in zip(kinds, levels, strict=True)}
    return pair_item(SoundPair(name=name, sounds=sounds, changes=changes))


def test_each_judge_has_its_own_verdict(sound):
    item = pair(sound, added=("duck",), removed=("cat",), kept=("rock",))
    found = listen([item], ToyBundle(), MODELS)
    texts = {role: [one.text.partition(" (")[0] for one in told["edit"]] for role, told in found.findings.items()}
    assert texts == {
        "tagger": ["duck heard", "cat gone", "rock: the tagger has no class for it"],
        "judge": ["duck not heard", "cat was not heard before",
                  "rock: the tagger has no class for it"],
    }  # fmt: skip
    results = json.loads(json.dumps(found.results(), allow_nan=False))
    assert list(results) == [
        "bundle", "sounds", "judges", "verdict", "closer", "summary", "sets", "warnings",
    ]  # fmt: skip
    assert [one["margin"] for one in results["verdict"]["tagger"]["edit"]] == [0.497527, 0.497527, None]
    assert results["judges"]["judge"]["network"] == "AST"
    assert results["judges"]["tagger"]["scores"]["edit/manipulated"] == {"cat": 0.002473, "duck": 0.997527}
    assert results["sounds"]["edit/original"]["sample_rate_hz"] == 16_000
    assert results["sets"] == results["warnings"] == []
    shares = {one["name"]: one["value"] for one in results["summary"]}
    assert shares["added, as wanted (tagger(toy))"] == 1.0
    assert shares["added, as wanted (AST)"] == 0.0
    assert shares["closer to the edited (CLAP(toy))"] == 1.0


def test_the_sound_of_an_edit_is_nearer_to_one_of_the_two(sound):
    items = [pair(sound, "there"), pair(sound, "back", (1, 3, 1)), pair(sound, "same", (2, 2, 2))]
    found = listen(items, ToyBundle(), MODELS)
    assert {name: [near.closer for near in nears] for name, nears in found.closer.items()} == {
        "there": [True] * 3, "back": [False] * 3, "same": [None] * 3,
    }  # fmt: skip
    assert [near.space for near in found.closer["there"]] == [
        "CLAP(toy)", "tagger(toy), embedding of 2", "AST, embedding of 2",
    ]  # fmt: skip
    assert found.closer["back"][0].edited == pytest.approx(np.cos(0.6), abs=1e-6)


def test_unjudgeable_items_are_excluded_and_named(sound):
    silent = pair(sound, "silent", (1, 3, 0), removed=("cat",))
    short = file_item(sound("short", 1, seconds=0.5))
    found = listen([silent, short], ToyBundle(), MODELS)
    assert found.closer == {}
    assert found.findings["tagger"]["silent"][0].text == "cat gone (1.00 → 0.00)"
    assert found.scores("tagger", short) == {}
    assert [line.partition(" is ")[2].partition(" ")[0] for line in found.warnings] == ["shorter", "silent"]
    assert {row["sound"] for row in found.table(["dog"])} == {"original", "edited", "manipulated"}


def test_labels_are_those_requested_or_heard(sound):
    found = listen([file_item(sound("a", 2))], ToyBundle(), MODELS)
    assert found.labels("tagger") == ["dog"]
    assert found.labels("tagger", ["duck", "rock", "cat"]) == ["duck", "cat"]
    assert found.table() == [
        {"item": row["item"], "sound": "sound", "judge": judge, "class": "dog", "score": 0.997527}
        for row, judge in zip(found.table(), ("tagger(toy)", "AST"), strict=True)
    ]


def test_a_set_is_compared_with_its_reference(sound):
    items = [file_item(sound(str(index), 1 + index % 3)) for index in range(12)]
    reference = [sound(str(index), 1 + index % 2, folder="reference") for index in range(12)]
    silent = sound("silent", 0, folder="reference")
    found = listen(items, ToyBundle(), MODELS, reference=[*reference, silent])
    figures = {one.name: one for one in found.sets}
    assert list(figures) == [
        *(f"{what}-{network}{variant}" for network in ("tagger(toy)", "AST") for what, variant in (
            ("FD", ""), ("KAD", ""), ("KL", " (softmax)"), ("KL", " (sigmoid)"), ("IS", ""))),
        "FD-CLAP(toy)", "KAD-CLAP(toy)", "CLAP(toy) sound-sound cosine",
    ]  # fmt: skip
    kad = figures["KAD-tagger(toy)"]
    assert (kad.n, kad.n_reference, kad.direction) == (12, 12, "↓")
    assert kad.value is not None
    assert kad.low is not None
    assert figures["IS-AST"].value == pytest.approx(3.0, abs=0.05)
    assert figures["KL-AST (softmax)"].n == 12
    assert figures["KL-AST (softmax)"].value > 1
    assert [line for line in found.warnings if line.startswith("reference: silent is silent")]


def test_a_missing_figure_has_a_reason(sound):
    items = [file_item(sound(name, 1)) for name in ("a", "b")]
    reference = [sound(name, 1, folder="reference") for name in ("x", "y")]
    found = listen(items, ToyBundle(), MODELS, reference=reference)
    figures = {one.name: one for one in found.sets}
    assert figures["FD-AST"].why == "2 clips are too few for a covariance of 2 dimensions, which needs more than 2"
    assert figures["KAD-AST"].why == "more than half of the pairs of the reference are identical"
    assert figures["KL-AST (softmax)"].why == "no sound of the set has the same name as one of the reference"
    assert all(str(one) == "–" for one in found.sets if one.value is None)
    with pytest.raises(InputError, match="two sounds of the reference have the same name: got x"):
        listen(items, ToyBundle(), MODELS, reference=[reference[0], reference[0]])


def test_a_set_without_judgeable_sounds(sound):
    items = [file_item(sound("silent", 0)), file_item(sound("short", 1, seconds=0.5))]
    found = listen(items, ToyBundle(), MODELS, reference=[sound("x", 1, folder="reference")])
    assert found.sets
    assert all(one.value is None and one.why for one in found.sets)


def test_a_clap_score_needs_a_text_and_an_encoder(sound):
    def described(bundle):
        item = pair_item(SoundPair(name="a", sounds={"manipulated": sound("a", 2)}, text="a dog"))
        return listen([item], bundle, MODELS).sets

    (score,) = described(ToyBundle())
    assert (score.name, score.value) == ("CLAP score (CLAP(toy), text-sound)", pytest.approx(np.cos(0.6), abs=1e-5))
    deaf = ToyBundle()
    deaf.roles = ("tagger", "judge", "audio_encoder")
    (score,) = described(deaf)
    assert (score.value, score.why) == (None, "the bundle 'toy' has no text_encoder")
