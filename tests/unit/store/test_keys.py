"""Keys. The golden values must not change: every existing store depends on them."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from svdaudio.errors import ConfigError, InputError
from svdaudio.store.keys import Action, canonical, digest_array, digest_file

ACTION = Action(
    stage="mix",
    version=2,
    parameters={
        "k": 5,
        "alpha": 0.3,
        "points": [[120.0, 80.5, 1]],
        "scheduler": "ddim",
        "augment": True,
        "nothing": None,
    },
    inputs={"tokens": "aa", "grid": "bb"},
    models={"tagger": "cc"},
)


def test_golden_action_key():
    assert ACTION.key == "a4cf105fd78050c384a175f6f7fc3411a16124365d1c5f38caee67fb2ca4c391"


@pytest.mark.parametrize(
    ("array", "digest"),
    [
        (
            np.arange(6, dtype=np.float32).reshape(2, 3),
            "c8668298b5570d8d04cedfa80dae34f83fd3a0e7c1e9ed377f133a7b665f5318",
        ),
        (np.zeros((0, 768), np.float32), "6ca3422f89399b526d8fb401435094a30084b41c05f2425e070ee3d6c09926b9"),
        (np.array(1.5), "351e1ffcaf1ace1e693fa59a223a35ed73d37c1415937d7fc3075a22137acb79"),
        (np.array([True, False]), "2bdcc43039d26da3609b801d0fea2a4c4fefeca7420b5f38c0aa06c082b68332"),
    ],
    ids=["float32", "empty", "scalar", "bool"],
)
def test_golden_array_digests(array, digest):
    assert digest_array(array) == digest


def test_canonical_text():
    assert canonical({"b": [1, 2.5, None, True], "a": "ä"}) == '{"a":"\\u00e4","b":[1,2.5,null,true]}'


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (0.0, -0.0), ((1, 2), [1, 2]), ({"a": 1, "b": 2}, {"b": 2, "a": 1})]
)
def test_equal_values_have_equal_text(one, other):
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (1, "1"), (None, "null"), ([1], [[1]]), (0.1, 0.1 + 2**-56), ([], {})]
)
def test_different_values_have_different_text(one, other):
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), [{"a": float("-inf")}], object(), {1: 2}, {"a": {1, 2}}, b"x"]
)
def test_values_without_canonical_text_are_refused(value):
    with pytest.raises(ConfigError):
        canonical(value)


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "mask"},
        {"version": 3},
        {"parameters": {**ACTION.parameters, "k": 6}},
        {"parameters": {n: v for n, v in ACTION.parameters.items() if n != "nothing"}},
        {"inputs": {"tokens": "bb", "grid": "aa"}},
        {"inputs": {"tokens": "aa"}},
        {"models": {"tagger": "dd"}},
        {"models": {}},
    ],
)
def test_everything_enters_the_key(change):
    fields = {n: getattr(ACTION, n) for n in ("stage", "version", "parameters", "inputs", "models")}
    assert Action(**{**fields, **change}).key != ACTION.key


def test_layout_and_byte_order_do_not_affect_digests():
    array = np.arange(12, dtype="<f4").reshape(3, 4)
    for same in (np.asfortranarray(array), array.astype(">f4"), np.arange(24, dtype="<f4").reshape(3, 8)[:, ::2] / 2):
        assert digest_array(same) == digest_array(array)


@pytest.mark.parametrize(
    "other",
    [
        np.arange(12, dtype=np.float64).reshape(3, 4),
        np.arange(12, dtype=np.float32).reshape(4, 3),
        np.arange(12, dtype=np.float32),
        np.arange(12, dtype=np.float32).reshape(3, 4)[::-1],
        np.arange(12, dtype=np.float32).view(np.int32).reshape(3, 4),
    ],
)
def test_type_shape_and_values_affect_digests(other):
    assert digest_array(other) != digest_array(np.arange(12, dtype=np.float32).reshape(3, 4))


def test_arrays_of_objects_have_no_digest():
    with pytest.raises(TypeError):
        digest_array(np.array(["a"]))


def test_files(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"picture")
    assert digest_file(path) == hashlib.sha256(b"picture").hexdigest()
    with pytest.raises(InputError, match="file not found:"):
        digest_file(tmp_path / "b.jpg")
    with pytest.raises(InputError, match="is not a file: expected the file, got a folder"):
        digest_file(tmp_path)
