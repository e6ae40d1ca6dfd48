"""Specifications of studies: their content, and what is refused."""

from __future__ import annotations

import tomllib

import pytest

from svdaudio.errors import ConfigError, InputError
from svdaudio.places import examples_folder
from svdaudio.studies.study_spec import read_spec, spec_of

SPEC = """
title = "K"
method = "manipulate"
variant = "no_baselines"
objective = "duck - cat"
direction = "minimize"
seeds = [3, 1]
baseline = "first"

[settings]
generate.candidates = 1

[search]
kind = "random"
n = 5
seed = 9

[search.parameters]
svd.k = "1..8"
svd.alpha = "0.1..0.5"
edit.form = ["svd", "fade"]

[[cases]]
original = "a.png"
edited = "b.png"
remove = "1,2"

[[cases]]
name = "other"
original = "a.png"
edited = "b.png"
add = ["3,4", "5,6"]
svd.beta = 2.0
"""


def read(folder, text=SPEC):
    (folder / "k.toml").write_text(text)
    return read_spec(folder / "k.toml")


def test_a_full_specification_is_read(tmp_path):
    spec = read(tmp_path)
    assert (spec.title, spec.method.name, spec.variant, spec.maximizes) == ("K", "manipulate", "no_baselines", False)
    assert (spec.seeds, spec.baseline, spec.settings) == ((3, 1), "first", {"generate.candidates": 1})
    assert [case.name for case in spec.cases] == ["a-b", "other"]
    assert spec.cases[1].files == {"original": tmp_path / "a.png", "edited": tmp_path / "b.png"}
    assert spec.cases[1].parameters == {"add": ["3,4", "5,6"], "svd.beta": 2.0}
    settings = spec.search.settings()
    assert len(settings) == 5
    assert settings == spec.search.settings()
    assert {tuple(one) for one in settings} == {("svd.k", "svd.alpha", "edit.form")}
    assert spec_of(spec.raw, spec.path) == spec


def test_a_minimal_specification_uses_defaults(tmp_path):
    (tmp_path / "pairs.csv").write_text('original,edited,remove\na.png,b.png,"1,2"\n')
    spec = read(tmp_path, 'objective = "cat"\npairs = "pairs.csv"\n[search.parameters]\nsvd.k = "1,5"\n')
    assert (spec.title, spec.method.name, spec.seeds, spec.direction) == ("k", "manipulate", 3, "maximize")
    assert (spec.search.kind, spec.search.settings()) == ("grid", [{"svd.k": 1}, {"svd.k": 5}])
    assert (spec.baseline, spec.cases[0].where) == ("defaults", "pairs.csv, line 2")


def test_the_example_can_be_read():
    spec = read_spec(examples_folder() / "study.toml")
    assert len(spec.search.settings()) == 4
    assert all(path.is_file() for case in spec.cases for path in case.files.values())


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("direction", "directon", "k.toml: unknown key 'directon'. Perhaps you mean 'direction'"),
        ("n = 5", "n = 5\nn_trials = 4", r"k.toml \[search\]: unknown key 'n_trials'"),
        ("n = 5\n", "", r"k.toml \[search\]: 'n' has an invalid value: expected a whole number from 1"),
        ("n = 5", "n = true", "'n' has an invalid value"),
        ('"random"', '"hill"', """'kind' has an invalid value: expected "grid" or "random" or "optuna", got 'hill'"""),
        ('"minimize"', '"less"', 'expected "maximize" or "minimize"'),
        ('"manipulate"', '"manipulat"', "unknown method"),
        ("generate.candidates", "generate.candidate", "unknown parameter 'generate.candidate' .from k.toml."),
        ("svd.k =", "svd.kk =", r"unknown parameter 'svd.kk' \(from k.toml \[search\]\). Perhaps you mean 'svd.k'"),
        ("svd.k =", "seed =", "'seed' cannot be searched. Give its values as `seeds`"),
        ("svd.k =", "remove =", "'remove' cannot be swept"),
        ('"1..8"', "7", "the range of 'svd.k' cannot be read"),
        ('"1..8"', '"8..1"', "the range of 'svd.k' cannot be read"),
        ('"1..8"', "[]", "the range of 'svd.k' cannot be read"),
        ("[3, 1]", "[3, 3]", "'seeds' has an invalid value: expected a count from 1 to 1000, or a list"),
        ("[3, 1]", "0", "'seeds' has an invalid value"),
        ("[3, 1]", "[-1]", "'seeds' has an invalid value"),
        ("generate.candidates = 1", "seed = 1", "'seed' would have no effect with a list of seeds"),
        ("svd.beta = 2.0", "svd.k = 2", "'svd.k' is searched, and cannot be set for a scene"),
        ("svd.beta = 2.0", "seed = 2", "a scene of a study cannot have its own seed"),
        ("svd.beta = 2.0", 'out = "x.wav"', "'out' does not apply to a study"),
        ("svd.beta = 2.0", "svd.betta = 2.0", "k.toml, case 2: unknown parameter 'svd.betta'"),
        ('name = "other"\noriginal', 'name = "other"\norignal', "k.toml, case 2: the .* 'original' is missing"),
        ('title = "K"', 'pairs = "x.csv"', "the scenes must be given once"),
        ('title = "K"', "title = 3", "'title' has an invalid value: expected a text"),
        ('title = "K"', "title = 1979-05-27", "has a value of an unsupported type"),
        ('title = "K"', "title = nan", "is not valid TOML|invalid value"),
        ('title = "K"', "title =", "is not valid TOML"),
        ('objective = "duck - cat"', "", "the key 'objective' is missing"),
        ("duck - cat", "duck -", "the objective cannot be read"),
    ],
)
def test_an_invalid_specification_is_reported_in_one_line(tmp_path, before, after, message):
    assert before in SPEC
    with pytest.raises((ConfigError, InputError), match=message) as caught:
        read(tmp_path, SPEC.replace(before, after))
    assert "\n" not in caught.value.line()


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_spec(tmp_path / "none.toml")


def test_a_search_without_parameters(tmp_path):
    with pytest.raises(ConfigError, match="no parameter to search"):
        read(tmp_path, SPEC[: SPEC.index("[search.parameters]")])
    assert tomllib.loads(SPEC)["search"]["parameters"]
