import numpy as np
import pytest

from svdaudio.pretraining import frozen
from svdaudio.pretraining.frozen import FrozenVectors


def vectors(folder, keys, asked, source="model 1"):
    def make(places):
        asked.extend(keys[place] for place in places)
        return np.array([[float(len(keys[place])), float(place)] for place in places], np.float32)

    return FrozenVectors(folder, source).get(keys, make, lambda n, total: None)


def test_each_vector_is_computed_once(tmp_path, monkeypatch):
    monkeypatch.setattr(frozen, "_IN_A_FILE", 3)
    monkeypatch.setattr(frozen, "_AT_ONCE", 2)
    keys, asked = ["a", "bb", "a", "ccc", "dddd", "eeeee"], []
    found = vectors(tmp_path, keys, asked)
    assert asked == ["a", "bb", "ccc", "dddd", "eeeee"]
    assert found[:, 0].tolist() == [1, 2, 1, 3, 4, 5]
    assert np.array_equal(vectors(tmp_path, keys, asked), found)
    vectors(tmp_path, ["a", "new"], asked)
    assert asked[5:] == ["new"]
    vectors(tmp_path, ["a"], asked, source="model 2")
    assert asked[6:] == ["a"]


def test_an_interrupted_computation_resumes_and_damage_is_repaired(tmp_path, monkeypatch):
    monkeypatch.setattr(frozen, "_IN_A_FILE", 2)
    keys = ["a", "bb", "ccc", "dddd"]

    def fails(places):
        if 2 in places:
            raise KeyboardInterrupt
        return np.zeros((len(places), 2), np.float32)

    with pytest.raises(KeyboardInterrupt):
        FrozenVectors(tmp_path, "model 1").get(keys, fails, lambda n, total: None)
    asked = []
    vectors(tmp_path, keys, asked)
    assert asked == ["ccc", "dddd"]
    damaged = next(tmp_path.rglob("*.safetensors"))
    damaged.write_bytes(damaged.read_bytes()[:40])
    vectors(tmp_path, keys, asked)
    assert len(asked) == 4
