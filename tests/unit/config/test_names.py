from __future__ import annotations

import pytest

from svdaudio.config import flatten, nested, unknown_parameter
from svdaudio.config.names import nearest_name
from svdaudio.errors import ConfigError
from svdaudio.methods.manipulate import ManipulateConfig


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("svd.kk", "svd.k"), ("svd.alhpa", "svd.alpha"), ("k", "svd.k"), ("steps", "generate.steps"),
        ("svd.threshold", "align.threshold"),
        ("Seed", "seed"), ("generate.guidance", "generate.guidance_scale"), ("removed", "remove"), ("zzzzz", None),
    ],
)  # fmt: skip
def test_the_nearest_name(name, near):
    known = ManipulateConfig.parameters()
    assert nearest_name(name, known) == near
    error = unknown_parameter(name, known, "run.toml")
    assert error.what == f"unknown parameter '{name}' (from run.toml)"
    assert error.fix == (f"perhaps you mean '{near}'" if near else "`svdaudio parameters` lists them")


def test_dotted_names_and_tables_are_equivalent():
    flat = {"seed": 1, "svd.k": 2, "svd.alpha": 0.5}
    assert nested(flat) == {"seed": 1, "svd": {"k": 2, "alpha": 0.5}}
    assert flatten(nested(flat)) == flat
    assert flatten({"svd": {"k": 2}, "svd.alpha": 0.5, "seed": 1}) == flat


def test_a_name_that_is_both_nested_and_dotted_is_refused():
    with pytest.raises(ConfigError, match=r"'svd\.k' is given twice: got 2 and 3"):
        flatten({"svd": {"k": 2}, "svd.k": 3})
